"""A log that is longer than a page, and than what one request looks at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from triroute.proto import decoding_pb2, router_pb2
from triroute.router.settings import Settings
from triroute.router.ui.page import LOOKED_AT

from ..e2e.conftest import Running
from ..router import fake_engine
from ..router.audit.logs import append, record
from .conftest import window

COUNT = LOOKED_AT + 400
DIFFUSED = 7  # the one step of its mode, far back
OURS = range(50, COUNT, 8)  # of one session, before and behind what one request looks at


def step(number: int) -> router_pb2.Record:
    one = record(number, tokens=2)
    mode = decoding_pb2.MODE_DIFFUSION if number == DIFFUSED else decoding_pb2.MODE_AUTOREGRESSIVE
    one.decision.plan.mode = mode
    one.session_id = "s" if number % 8 in (1, 2) and number >= OURS[0] else ""
    one.features.tenant = "me" if number % 8 == 2 else "they"
    return one


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("filled") / "r.sqlite"
    append(log, map(step, range(COUNT)))
    service = Running(Settings(listen="127.0.0.1:0", http="127.0.0.1:0", records=log, engine=fake_engine.command()))
    yield service
    service.close()


@pytest.fixture
def page(browser: Browser, filled: Running, complaints: list[str]) -> Iterator[Page]:
    with window(browser, filled, complaints) as opened:
        yield opened
    assert complaints == []


def open_list(page: Page, filled: Running, rest: str = "") -> None:
    page.goto(f"http://{filled.service.http.address}/ui/{rest}")
    page.wait_for_selector("main[data-ready]")


def shown(page: Page) -> list[str]:
    return [str(row.get_attribute("data-id")) for row in page.locator("#steps tr").all()]


def test_older_steps(page: Page, filled: Running) -> None:
    open_list(page, filled)
    newest = [f"{number:032x}" for number in range(COUNT - 1, COUNT - 101, -1)]
    assert shown(page) == newest[:50]
    page.get_by_role("button", name="Older steps").click()
    expect(page.locator("#steps tr").first).to_have_attribute("data-id", newest[50])
    assert shown(page) == newest[50:]
    page.get_by_role("link", name="newest").click()
    expect(page.locator("#steps tr").first).to_have_attribute("data-id", newest[0])
    open_list(page, filled, "#/?before=30")
    page.wait_for_function("document.querySelectorAll('#steps tr').length === 30")
    expect(page.get_by_role("button", name="Older steps")).to_have_count(0)


def test_what_is_rare(page: Page, filled: Running) -> None:
    open_list(page, filled)
    page.get_by_role("button", name="Older steps").click()
    page.locator("[data-filter=mode]").select_option("diffusion")  # of all steps, not of those that are older
    expect(page.locator("main")).to_contain_text(f"None of {LOOKED_AT} steps is as wanted")
    page.get_by_role("button", name="Look further back").click()
    expect(page.locator("#steps tr")).to_have_count(1)
    assert shown(page) == [f"{DIFFUSED:032x}"]
    page.locator("[data-filter=mode]").select_option("quadratic")
    expect(page.locator("main")).to_contain_text("None of")
    page.get_by_role("button", name="Look further back").click()
    expect(page.locator("main")).to_contain_text("No older step is as wanted")


def test_all_of_a_session_and_nobody_else_s(page: Page, filled: Running) -> None:
    open_list(page, filled, f"#/step/{OURS[-1]:032x}")
    page.get_by_role("link", name="session s").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Session s of me")
    expect(page.get_by_role("region", name="In all")).to_contain_text(f"steps{len(OURS)}tokens{2 * len(OURS)}")
    assert shown(page) == [f"{number:032x}" for number in OURS]
    expect(page.get_by_role("button", name="Look further back")).to_have_count(0)


def test_sums_say_of_what_they_are(page: Page, filled: Running) -> None:
    """While more may be further back, which is looked for so far by itself, and then when asked to."""
    asked = list[str]()

    def endless(route: Route) -> None:
        """As a log that goes on for ever."""
        asked.append(route.request.url)
        answer = route.fetch()
        told = answer.json()
        route.fulfill(response=answer, json=told | {"more": True, "next": told["next"] or 1})

    page.route("**/api/steps?**", endless)
    open_list(page, filled, "#/?session=s&tenant=me&limit=200")
    button = page.get_by_role("button", name="Look further back")
    expect(button).to_be_visible()
    first = len(asked)
    assert first > 2
    expect(page.get_by_role("region", name="So far")).to_contain_text(f"steps so far{len(OURS)}")
    expect(page.get_by_role("status").filter(has_text="Looked at")).to_contain_text("this session may have older ones")
    button.click()
    expect(page.get_by_role("status").filter(has_text="Looked at")).to_be_visible()
    page.unroute("**/api/steps?**")
    button.click()
    expect(page.get_by_role("region", name="In all")).to_be_visible()
    assert len(asked) > first
