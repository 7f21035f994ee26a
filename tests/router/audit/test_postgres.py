"""What only a log in PostgreSQL can meet: servers that die, freeze, refuse or restart, and others in the database."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from triroute.proto import audit_pb2
from triroute.router.audit.entries import read_entries
from triroute.router.audit.log import AuditLog
from triroute.router.audit.place import Place, PostgresUrl, to_place
from triroute.router.audit.schema import beside
from triroute.router.audit.store import RecordStore
from triroute.router.audit.verify import verify
from triroute.router.audit.writer import RecordWriter
from triroute.router.cli.app import app
from triroute.router.errors import AuditUnavailable, NotFound, StartFailed

from ..postgres_server import PostgresServer
from .logs import owner, record, tamper, write


def steps(place: Place) -> list[str]:
    return [one.request_id for one in reversed(RecordStore(place).latest(999))]


def names(*numbers: int) -> list[str]:
    return [f"{number:032x}" for number in numbers]


def test_killed_and_restarted_server_loses_nothing(postgres_server: PostgresServer, postgres_place: Place) -> None:
    """What was acknowledged is there; an idle connection that the restart cut costs no record."""
    writer = RecordWriter(postgres_place)
    for number in range(2):
        writer.add(record(number))
        writer.add_durably(record(10 + number)).result(20)
        postgres_server.kill()
        postgres_server.start()
    writer.add(record(20))
    writer.close()
    assert (writer.written, writer.lost) == (5, 0)
    assert steps(postgres_place) == names(0, 10, 1, 11, 20)
    assert verify(postgres_place).problems == []


def test_outage_is_survived_and_told(
    postgres_server: PostgresServer, postgres_place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    writer = RecordWriter(postgres_place)
    writer.add_durably(record(0)).result(20)
    postgres_server.kill()
    for number in (1, 2):
        writer.add(record(number))
        writer.flush()
    with pytest.raises(AuditUnavailable, match="requires an audit record of this step, and the log can't be written: "):
        writer.add_durably(record(3)).result(20)
    assert (writer.lost, bool(writer.broken)) == (3, True)
    with pytest.raises(NotFound, match="can't be reached: "):
        RecordStore(postgres_place).latest(1)
    with pytest.raises(NotFound, match="can't be reached: "):
        verify(postgres_place)
    postgres_server.start()
    until(lambda: not writer.broken)  # without anybody who writes
    writer.add(record(4))
    writer.close()
    assert [one.kind for one in read_entries(postgres_place)] == ["step", "log.gap", "step"]
    told = audit_pb2.AuditGap()
    (gap,) = read_entries(postgres_place, number=1)
    assert gap.entry is not None
    gap.entry.event.detail.Unpack(told)
    assert told.lost == 3
    assert verify(postgres_place).problems == []
    assert caplog.text.count("can't be written to") == 1


def test_server_that_dies_while_a_log_is_read(postgres_server: PostgresServer, postgres_place: Place) -> None:
    """That is no sign of somebody who altered it."""
    writer = RecordWriter(postgres_place)
    for number in range(2_500):
        writer.add(record(number))
    writer.close()
    entries = read_entries(postgres_place)
    assert next(entries).number == 0
    postgres_server.kill()
    with pytest.raises(NotFound, match=r"can.t be reached: "):
        list(entries)
    postgres_server.start()
    assert verify(postgres_place).problems == []


def test_frozen_server_is_given_up(
    postgres_server: PostgresServer, postgres_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a step that waits for its record nor the end of the service waits for long."""
    for name in ("_CONNECT_SECONDS", "_ANSWER_SECONDS"):
        monkeypatch.setattr(f"triroute.router.audit.postgres.{name}", 2)
    monkeypatch.setattr("triroute.router.audit.postgres._Connection.most_seconds", 1.0)
    writer = RecordWriter(postgres_place)
    writer.add_durably(record(0)).result(20)
    postgres_server.freeze()
    started = time.monotonic()
    with pytest.raises(AuditUnavailable, match="did not answer for 1 s"):
        writer.add_durably(record(1)).result(20)
    with pytest.raises(NotFound):
        RecordStore(postgres_place).latest(1)
    for number in range(2_000):  # eight transactions, were each tried
        writer.add(record(number))
    writer.close()
    assert time.monotonic() - started < 9
    assert writer.lost == 2_001
    postgres_server.thaw()
    write(postgres_place, 5, begin=False)
    assert steps(postgres_place)[-1:] == names(5)
    assert verify(postgres_place).problems == []


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class CutAfterCommit(threading.Thread):
    """Between a writer and its server. Once armed, it cuts a connection as the server answers its COMMIT."""

    def __init__(self, server: Path, folder: Path) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.is_armed = self.is_cutting = False
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(folder / ".s.PGSQL.5432"))
        self.socket.listen()
        self.start()

    def run(self) -> None:
        while (client := accepted(self.socket)) is not None:
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self.server))
            for way in ((client, server, True), (server, client, False)):
                threading.Thread(target=self.pass_on, args=way, daemon=True).start()

    def pass_on(self, source: socket.socket, target: socket.socket, is_client: bool) -> None:
        with source, target, suppress(OSError):
            while data := source.recv(65_536):
                if is_client and self.is_armed and b"COMMIT\0" in data:
                    self.is_armed, self.is_cutting = False, True
                elif not is_client and self.is_cutting:
                    self.is_cutting = False
                    break
                target.sendall(data)
            for one in (source, target):
                one.shutdown(socket.SHUT_RDWR)


def accepted(listening: socket.socket) -> socket.socket | None:
    try:
        return listening.accept()[0]
    except OSError:
        return None


def test_commit_whose_answer_was_lost_is_not_done_twice(shared_postgres: PostgresServer, postgres_place: Place) -> None:
    with tempfile.TemporaryDirectory(prefix="cut-") as folder:
        between = CutAfterCommit(shared_postgres.folder / ".s.PGSQL.5432", Path(folder))
        writer = RecordWriter(to_place(str(postgres_place).replace(str(shared_postgres.folder), folder)))
        writer.add_durably(record(0)).result(20)
        between.is_armed = True
        writer.add_durably(record(1)).result(20)
        assert not between.is_armed
        writer.add_durably(record(2)).result(20)
        writer.close()
        between.socket.shutdown(socket.SHUT_RDWR)
        between.join()
        between.socket.close()
    assert (writer.written, writer.lost) == (3, 0)
    assert steps(postgres_place) == names(0, 1, 2)


def test_writers_wait_for_their_turn(postgres_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triroute.router.audit.postgres._TURN_SECONDS", 1)
    write(postgres_place, 0)
    writer = RecordWriter(postgres_place)
    with owner(postgres_place) as other, other.transaction():
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"triroute {schema(postgres_place)}",))
        with pytest.raises(AuditUnavailable, match="another writer has held the log for 1 s"):
            writer.add_durably(record(1)).result(20)
    writer.add_durably(record(2)).result(20)
    writer.close()
    assert steps(postgres_place) == names(0, 2)


def schema(place: Place) -> str:
    assert isinstance(place, PostgresUrl)
    return place.schema


def test_logs_of_several_routers_in_one_database(postgres_place: Place, shared_postgres: PostgresServer) -> None:
    """Each with a key, an origin and a tree of its own."""
    places = [postgres_place, to_place(shared_postgres.url("second"))]
    for number, place in enumerate(places):
        write(place, number)
    assert [steps(place) for place in places] == [names(0), names(1)]
    reports = [verify(place) for place in places]
    assert [report.problems for report in reports] == [[], []]
    assert reports[0].origin != reports[1].origin
    assert beside(places[0], "key").read_bytes() != beside(places[1], "key").read_bytes()


def test_auditor_on_another_machine_with_rights_to_read(
    postgres_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(postgres_place, *range(3))
    kept = tmp_path / "kept"
    shutil.copy(beside(postgres_place, "checkpoint"), kept)
    with owner(postgres_place) as rows:
        rows.execute("DROP ROLE IF EXISTS auditor")
        rows.execute("CREATE ROLE auditor LOGIN")
        rows.execute(f"GRANT USAGE ON SCHEMA {schema(postgres_place)} TO auditor")
        rows.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema(postgres_place)} TO auditor")
    theirs = str(postgres_place).replace("owner@", "auditor@")
    monkeypatch.setenv("TRIROUTE_HOME", str(tmp_path / "elsewhere"))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["audit", *arguments, "--records", theirs], env={"COLUMNS": "300"})

    alone = run("verify")
    assert alone.exit_code == 1
    assert "no checkpoint of this log is kept here; give one that was kept elsewhere with --checkpoint" in alone.stdout
    assert "ok" in run("verify", "--checkpoint", str(kept)).stdout
    assert run("list").exit_code == run("prove", "1").exit_code == 0
    refused = run("prune", "--keep", "0")
    assert isinstance(refused.exception, AuditUnavailable)
    assert "the key that signs this log, is gone" in str(refused.exception)
    tamper(postgres_place, "DELETE FROM entry WHERE number = 3", "DELETE FROM checkpoint")
    assert f"{kept}: it tells of 4 entries, and the log has 3" in run("verify", "--checkpoint", str(kept)).stdout


def test_router_that_may_only_add(postgres_place: Place) -> None:
    """Once its tables are there."""
    write(postgres_place, 0)
    mine, tables = schema(postgres_place), ", ".join(("entry", "dictionary", "kept", "checkpoint"))
    with owner(postgres_place) as rows:
        rows.execute("DROP ROLE IF EXISTS router")
        rows.execute("CREATE ROLE router LOGIN")
        rows.execute(f"GRANT USAGE ON SCHEMA {mine} TO router")
        rows.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {mine} TO router")
        rows.execute(f"GRANT INSERT ON {tables} TO router")
        rows.execute("GRANT UPDATE ON checkpoint TO router")
    theirs = to_place(str(postgres_place).replace("owner@", "router@"))
    write(theirs, 1, 2)
    assert steps(theirs) == names(0, 1, 2)
    assert verify(theirs).problems == []
    with pytest.raises(OSError, match="permission denied for table entry"), AuditLog(theirs).changing() as session:
        session.execute("UPDATE entry SET body = NULL")


@pytest.mark.parametrize(
    "statements",
    [
        ("ALTER TABLE entry RENAME TO hidden", "CREATE VIEW entry AS SELECT * FROM hidden WHERE number <> 2"),
        ("CREATE RULE quiet AS ON INSERT TO entry DO INSTEAD NOTHING",),
        ("ALTER TABLE entry ENABLE ROW LEVEL SECURITY",),
        ("ALTER TABLE entry DISABLE TRIGGER entry_stays",),
        ("DROP TRIGGER entry_kept ON entry",),
        ("CREATE OR REPLACE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",),
        ("CREATE TRIGGER quiet BEFORE INSERT ON entry EXECUTE FUNCTION append_only()",),
        ("ALTER TABLE entry ALTER packing TYPE bigint",),
        ("ALTER TABLE entry ALTER leaf DROP NOT NULL",),
    ],
    ids=lambda statements: " ".join(statements[0].split()[:5]),
)
def test_altered_tables_are_named(postgres_place: Place, statements: tuple[str, ...]) -> None:
    write(postgres_place, *range(3))
    tamper(postgres_place, *statements)
    found = [str(problem) for problem in verify(postgres_place).problems]
    assert any("it is not as this version of Triroute makes it" in problem for problem in found), found


def test_flipped_bits_in_the_files_of_the_server(postgres_server: PostgresServer, postgres_place: Place) -> None:
    """Whatever part of a row's page is hit: the log is as it was, or `verify` tells."""
    write(postgres_place, *range(0x100000, 0x100003))
    with owner(postgres_place) as rows:
        rows.execute("VACUUM (FREEZE) entry")
        (name,) = rows.execute("SELECT pg_relation_filepath('entry')").fetchone() or ("",)
    was = [(one.number, one.leaf, one.entry) for one in read_entries(postgres_place)]
    file, chance = postgres_server.folder / "data" / name, random.Random(5)
    found = 0
    for _ in range(8):
        postgres_server.stop()
        raw = file.read_bytes()
        changed = bytearray(raw)
        changed[chance.choice([at for at, byte in enumerate(raw[:8192]) if byte])] ^= 1 << chance.randrange(8)
        file.write_bytes(changed)
        postgres_server.start()
        report = verify(postgres_place)
        found += not report.ok
        assert not report.ok or [(one.number, one.leaf, one.entry) for one in read_entries(postgres_place)] == was
        postgres_server.stop()
        file.write_bytes(raw)
        postgres_server.start()
    assert found > 3
    assert verify(postgres_place).problems == []


def test_passwords_stay_secret(
    postgres_server: PostgresServer, postgres_place: Place, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    hba = postgres_server.folder / "data" / "pg_hba.conf"
    hba.write_text("local all guarded scram-sha-256\n" + hba.read_text())
    with postgres_server.connect() as rows:
        rows.execute("CREATE ROLE guarded LOGIN PASSWORD 'open: sesame'")
        rows.execute("GRANT CREATE ON DATABASE postgres TO guarded")
        rows.execute("SELECT pg_reload_conf()")
    url = str(postgres_place)
    for secret, works in (("open%3A%20sesame", True), ("closed%3A%20sesame", False)):
        place = to_place(url.replace("owner@", f"guarded:{secret}@"))
        until(lambda place=place, works=works: attempt(place) == works)  # the server reads its files in a while
        done = CliRunner().invoke(app, ["audit", "list", "--records", place.url])
        told = f"{done.output} {done.exception} {caplog.text}"
        assert works or "password authentication failed for user" in told
        assert "sesame" not in told
    assert "sesame" not in "".join(file.read_text(errors="replace") for file in tmp_path.rglob("*") if file.is_file())


def attempt(place: Place) -> bool:
    writer = RecordWriter(place)
    try:
        writer.add_durably(record(time.time_ns())).result(20)
    except AuditUnavailable:
        return False
    finally:
        writer.close()
    return True


def test_newer_tables_are_left_alone(postgres_place: Place, caplog: pytest.LogCaptureFixture) -> None:
    write(postgres_place, 0)
    tamper(postgres_place, "UPDATE log SET version = 9")
    write(postgres_place, 1)
    assert "schema version is 9, this Triroute knows 3; upgrade it" in caplog.text
    with pytest.raises(NotFound, match="schema version is 9"):
        RecordStore(postgres_place).latest(1)


def test_where_there_is_nothing(postgres_place: Place, shared_postgres: PostgresServer) -> None:
    """Looking makes nothing."""
    assert RecordStore(postgres_place).latest(1) == []
    with pytest.raises(
        NotFound, match=r"there is no log in postgresql://.* yet; a service that writes to it makes one"
    ):
        verify(postgres_place)
    done = CliRunner().invoke(app, ["audit", "prune", "--keep", "0", "--records", str(postgres_place)])
    assert isinstance(done.exception, NotFound)
    with owner(postgres_place) as rows:
        assert rows.execute("SELECT to_regnamespace(%s)", (schema(postgres_place),)).fetchone() == (None,)
    with pytest.raises(NotFound, match=r'can.t be reached: .*database "none" does not exist'):
        verify(to_place(shared_postgres.url().replace("/postgres?", "/none?")))


@pytest.mark.parametrize("wrong", ["%xx@db/a", "@db/a?colour=hidden"])
def test_url_that_libpq_does_not_take(wrong: str) -> None:
    with pytest.raises(StartFailed, match="is no URL of PostgreSQL: ") as found:
        RecordStore(to_place(f"postgresql://me:hidden{wrong}"))
    assert "hidden@" not in str(found.value)
    assert "hidden%" not in str(found.value)


def test_server_without_fsync_is_told(
    postgres_server: PostgresServer, postgres_place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with postgres_server.connect() as rows:
        rows.execute("ALTER SYSTEM SET fsync = off")
        rows.execute("SELECT pg_reload_conf()")
        until(lambda: rows.execute("SHOW fsync").fetchone() == ("off",))
    write(postgres_place, 0)
    assert "runs with fsync = off" in caplog.text


def test_without_the_driver() -> None:
    script = (
        "import sys; sys.modules['psycopg'] = None; from triroute.router.cli import main;"
        " sys.argv = ['triroute', 'audit', 'list', '--records', 'postgresql://me:hidden@db/a']; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "pip install 'triroute[postgres]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hidden" not in done.stderr
