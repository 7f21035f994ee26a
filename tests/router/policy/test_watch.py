"""Files that change in the ways that editors, `mv` and Kubernetes change them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from triroute.router.policy.keeper import PolicyKeeper
from triroute.router.settings import Settings

from ..fake_engine import until
from .policies import policy, text


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[PolicyKeeper]:
    """The file as Kubernetes mounts it: policy.yaml -> ..data/policy.yaml, ..data -> ..1."""
    (tmp_path / "..1").mkdir()
    (tmp_path / "..1" / "policy.yaml").write_text(text("first"))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "policy.yaml").symlink_to("..data/policy.yaml")
    async with PolicyKeeper(Settings(policy=tmp_path / "policy.yaml")) as running:
        yield running


async def test_symbolic_link_is_swapped(keeper: PolicyKeeper, tmp_path: Path) -> None:
    (tmp_path / "..2").mkdir()
    (tmp_path / "..2" / "policy.yaml").write_text(text("other"))
    (tmp_path / "..data_tmp").symlink_to("..2")
    os.replace(tmp_path / "..data_tmp", tmp_path / "..data")
    await until(lambda: keeper.live.policy.name == "other")
    (change, *_) = await keeper.store.history(1)
    assert (change.kind.value, change.author) == ("file", str(tmp_path / "policy.yaml"))


async def test_replaced_and_edited_in_place(keeper: PolicyKeeper, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.write_text(text("replaced"))
    os.replace(new, tmp_path / "policy.yaml")
    await until(lambda: keeper.live.policy.name == "replaced")
    (tmp_path / "policy.yaml").write_text(text("edited"))
    await until(lambda: keeper.live.policy.name == "edited")


async def test_bad_file_is_refused_once_and_loudly(
    keeper: PolicyKeeper, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text("bad").replace("autoregressive", "autoregresive"))
    await until(lambda: keeper.live.refused == 1)
    assert f"{file}:5:17: " in keeper.live.refusal
    assert "did you mean 'autoregressive'" in caplog.text
    assert f"policy {policy('first').revision[:12]} (first) stays in force" in caplog.text
    file.unlink()
    await until(lambda: keeper.live.refused == 2)
    assert "can't be read" in keeper.live.refusal
    assert keeper.live.policy.name == "first"
    file.write_text(text("good"))
    await until(lambda: keeper.live.policy.name == "good")
    assert keeper.live.refused == 2


async def test_comments_change_nothing(keeper: PolicyKeeper, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(f"# a comment\n{text('first')}")
    before = keeper.live.swaps
    file.write_text(f"# another\n{text('last')}")
    await until(lambda: keeper.live.policy.name == "last")
    assert keeper.live.swaps == before + 1
