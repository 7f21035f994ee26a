"""Paging through a log that is longer than what one request looks at."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from triroute.proto import router_pb2
from triroute.router.audit.place import Place
from triroute.router.audit.store import RecordStore
from triroute.router.ui.access import Gate
from triroute.router.ui.api import viewer
from triroute.router.ui.page import LOOKED_AT

from ..audit.logs import append, record, tamper

COUNT = LOOKED_AT + 300


def step(number: int, session: str = "", tenant: str = "") -> router_pb2.Record:
    one = record(number, tokens=2)
    one.session_id, one.features.tenant = session, tenant
    return one


def client(log: Place) -> TestClient:
    routes = viewer(RecordStore(log), Gate.of("127.0.0.1:1", ""), lambda: 0)
    return TestClient(Starlette(routes=routes), base_url="http://127.0.0.1")


def pages(log: Place, asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """As the page asks, one after the other."""
    asking, before = client(log), None
    while True:
        told = asking.get("/ui/api/steps", params={**asked, **({} if before is None else {"before": before})}).json()
        yield told
        before = told["next"]
        assert told["more"] == (before is not None)
        if before is None:
            return


def ids(told: Iterable[dict[str, Any]]) -> list[str]:
    return [one["id"] for page in told for one in page["steps"]]


def test_no_step_is_lost_whenever_it_began(tmp_path: Path) -> None:
    """Steps are where they ended, and a long one began before many that are older."""
    began = list(range(COUNT))
    random.Random(7).shuffle(began)
    log = tmp_path / "r.sqlite"
    append(log, [step(number) for number in began])
    assert ids(pages(log, {"limit": 200})) == [f"{number:032x}" for number in reversed(began)]
    last = list(pages(log, {"limit": 200}))[-1]
    assert len(last["steps"]) == COUNT % 200


def test_what_is_rare_is_found_however_far_back(tmp_path: Path) -> None:
    """Each request looks at so many, and says where to look further."""
    log = tmp_path / "r.sqlite"
    append(log, [step(number, session="s" if number in (5, 9) else "") for number in range(COUNT)])
    first, second = pages(log, {"session": "s"})
    assert (first["steps"], first["looked_at"], first["more"]) == ([], LOOKED_AT, True)
    assert ids([second]) == [f"{9:032x}", f"{5:032x}"]
    assert second["looked_at"] == 300


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7])
def test_pages_end_where_the_log_begins(place: Place, limit: int) -> None:
    append(place, [step(number) for number in range(4)])
    told = list(pages(place, {"limit": limit}))
    assert [len(page["steps"]) for page in told] == [*[limit] * (4 // limit), *[4 % limit] * bool(4 % limit)]
    tamper(place, "UPDATE entry SET packing = NULL WHERE number = 1")
    told = list(pages(place, {"limit": limit}))
    assert ids(told) == [f"{number:032x}" for number in (3, 2, 0)]
    assert sum(page["damaged"] for page in told) == 1


def test_a_session_is_one_of_a_tenant(tmp_path: Path) -> None:
    log, mine, theirs = tmp_path / "r.sqlite", [1, 3, 5], [2, 4]
    steps = [step(number, "s", "me" if number in mine else "they") for number in range(1, 6)]
    append(log, [*steps, step(6, "s")])
    for tenant, numbers in (("me", mine), ("they", theirs), ("", [6]), ("nobody", [])):
        told = list(pages(log, {"session": "s", "tenant": tenant, "limit": 1}))
        assert ids(told) == [f"{number:032x}" for number in reversed(numbers)]
        assert {one["tenant"] for page in told for one in page["steps"]} <= {tenant}
