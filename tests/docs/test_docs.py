"""The commands and files in docs/, as a reader would use them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from triroute.bench.audit.postgres_server import PostgresServer
from triroute.proto import router_pb2
from triroute.router.audit.place import to_place
from triroute.router.audit.writer import RecordWriter
from triroute.router.policy import load
from triroute.router.policy.lint import lint
from triroute.router.policy.testing import read_suite, run

ROOT = Path(__file__).parents[2]
PAGES = {
    name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("policy", "segments", "classifier", "structured", "audit", "replay", "telemetry", "openai")
}
BLOCKS = [block for page in PAGES.values() for block in re.findall(r"```bash\n# run\n(.*?)```", page, re.DOTALL)]
DATABASE = "postgresql://triroute@db.example/audit"
(WITH_DATABASE,) = re.findall(r"```bash\n# run with a database\n(.*?)```", PAGES["audit"], re.DOTALL)
POLICY, TESTS, *SECTIONS = sorted(
    re.findall(r"```yaml\n(.*?)```", PAGES["policy"], re.DOTALL), key=lambda block: block.startswith("# A section")
)
LINKS = [link for page in PAGES.values() for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page)]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n")[0][:40])
def test_block(block: str, tmp_path: Path) -> None:
    run_block(block, tmp_path)


def test_block_with_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that writes to a database has tests of its own; here its log is there already."""
    monkeypatch.setenv("TRIROUTE_HOME", str(tmp_path))
    generate, *others = re.findall(r"triroute (?:generate|audit) .*", WITH_DATABASE)
    assert DATABASE in WITH_DATABASE
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = PostgresServer(Path(folder))
        server.start()
        try:
            writer = RecordWriter(to_place(server.url()))
            for number in range(4):
                writer.add(router_pb2.Record(request_id=f"{number:032x}", arrived_us=number))
            writer.close()
            run_block(WITH_DATABASE.replace(DATABASE, f"'{server.url()}'").replace(generate, ""), tmp_path)
        finally:
            server.close()
    assert (tmp_path / "build" / "proof.json").exists() == any("proof.json" in command for command in others)


def run_block(block: str, tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    for name in ("policies", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TRIROUTE_HOME": str(tmp_path)}
    command = ["bash", "-c", f"set -e\n{block}"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_example_passes_its_tests(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(POLICY)
    (tmp_path / "mine_test.yaml").write_text(TESTS)
    suite = read_suite(tmp_path / "mine_test.yaml")
    outcome = run(load(suite.policy), suite.tests)
    assert [result.problems for result in outcome.results if result.problems] == []
    assert lint(POLICY, "mine.yaml", tested=outcome.reached) == ()


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.split("\n")[1][:20])
def test_section_fits_the_example(section: str) -> None:
    policy = POLICY.replace("rules:", f"{section}\nrules:", 1)
    assert [str(finding) for finding in lint(policy, "mine.yaml")] == []


def test_rule_of_the_fleets_page_fits_the_example() -> None:
    (rule,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8"), re.DOTALL)
    indented = "".join(f"  {line}\n" for line in rule.splitlines())
    head, _, rest = POLICY.partition("  - id: busy")
    assert [str(finding) for finding in lint(f"{head}{indented}  - id: busy{rest}", "mine.yaml")] == []


@pytest.mark.parametrize("target", LINKS)
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / "docs" / target).exists()
