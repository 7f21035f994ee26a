"""The viewer in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ..e2e.conftest import Running
from .conftest import STEPS, TRIP

PLAN, CALL, MIXED, DIFFUSED, PLAIN, HOSTILE, ECHOED = range(len(STEPS) - 1, -1, -1)  # rows of the list, newest first


def open_list(page: Page, viewed: Running, rest: str = "") -> None:
    page.goto(f"http://{viewed.service.http.address}/ui/{rest}")
    page.wait_for_selector("main[data-ready]")


def open_step(page: Page, viewed: Running, row: int) -> None:
    open_list(page, viewed)
    page.locator("#steps tr").nth(row).click()
    page.wait_for_selector("#slider")


def slide(page: Page, share: float) -> None:
    """To a share of the passes."""
    move = "(e, share) => { e.value = Math.round(e.max * share); e.dispatchEvent(new Event('input')); }"
    page.locator("#slider").evaluate(move, share)


def picture(page: Page, pictures: Path | None, name: str) -> None:
    if pictures is not None:
        page.wait_for_timeout(300)
        page.screenshot(path=pictures / f"{name}.png")


def test_list(page: Page, viewed: Running, pictures: Path | None) -> None:
    open_list(page, viewed)
    rows = page.locator("#steps tr")
    expect(rows).to_have_count(len(STEPS) + 1)
    expect(rows.nth(CALL)).to_contain_text("get_weather")
    for mode in ("linear", "quadratic"):
        expect(rows.nth(MIXED)).to_contain_text(mode)
    expect(page.locator("#live .mix")).to_be_visible()
    picture(page, pictures, "list")
    page.locator("[data-filter=mode]").select_option("diffusion")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("diffusion")


def test_every_token_has_its_story(page: Page, viewed: Running, pictures: Path | None) -> None:
    open_step(page, viewed, MIXED)
    expect(page.get_by_role("heading", level=1)).to_contain_text("code")
    text = page.locator("#text")
    whole = text.inner_text()
    assert "def " in whole
    held = page.locator("#text .held").first
    held.hover()
    expect(page.locator("#tip")).to_contain_text("a draft that held")
    expect(page.locator("#tip")).to_contain_text("confidence")
    expect(page.get_by_role("region", name="Segments")).to_contain_text("quadratic in code")
    expect(page.get_by_role("region", name="Decision")).to_contain_text("by rule code-inside")
    assert page.locator("#text .quadratic").count() > 5
    picture(page, pictures, "step")


def test_replay_pass_by_pass(page: Page, viewed: Running, pictures: Path | None) -> None:
    open_step(page, viewed, MIXED)
    text = page.locator("#text")
    whole = text.inner_text()
    slide(page, 0)
    expect(text).to_have_text("")
    expect(page.locator("#told")).to_contain_text("Before the first pass")
    slide(page, 0.5)
    committed = "".join(page.locator("#text .t:not(.draft):not(.no)").all_text_contents())
    assert 0 < len(committed) < len(whole)
    drafts = rejected = 0
    last = int(page.locator("#slider").get_attribute("max") or 0)
    for _ in range(min(last // 2, 30)):
        page.keyboard.press("ArrowRight")
        drafts += page.locator("#text .draft").count()
        rejected += page.locator("#text .no").count()
    assert drafts
    assert rejected
    page.keyboard.press("Home")
    expect(text).to_have_text("")
    page.keyboard.press("End")
    assert text.inner_text() == whole
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_diffusion_shows_its_block(page: Page, viewed: Running, pictures: Path | None) -> None:
    open_step(page, viewed, DIFFUSED)
    masks = fixed = 0
    page.keyboard.press("Home")
    for _ in range(12):
        page.keyboard.press("ArrowRight")
        masks += page.locator("#text .mask").count()
        fixed += page.locator("#text .fixed").count()
    assert masks
    assert fixed
    slide(page, 0.2)
    picture(page, pictures, "diffusion")


def test_output_is_text_whatever_is_in_it(page: Page, viewed: Running) -> None:
    open_step(page, viewed, HOSTILE)
    expect(page.locator("#text")).to_contain_text("<script>alert(1)</script>")
    assert page.locator("#text script, #text img").count() == 0


def test_drafts_from_the_prompt_are_told_and_not_shown(page: Page, viewed: Running) -> None:
    open_step(page, viewed, ECHOED)
    expect(page.locator(".legend")).to_contain_text("▒ from the request, and not kept")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#text .no").first).to_have_text("▒")
    expect(page.locator("main")).not_to_contain_text("Zebulon")


def test_session_is_one_story(page: Page, viewed: Running) -> None:
    open_step(page, viewed, CALL)
    page.get_by_role("link", name=f"session {TRIP}").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(TRIP)
    expect(page.locator("#steps tr")).to_have_count(3)
    expect(page.locator("#steps tr").first).to_contain_text("plan")


def test_keys_alone(page: Page, viewed: Running) -> None:
    open_list(page, viewed)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator("#steps tr").first).to_have_class("here")
    page.keyboard.press("Enter")
    page.wait_for_selector("#slider")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    expect(page.locator("#steps tr")).to_have_count(len(STEPS) + 1)


def here(page: Page) -> int:
    """Which token has the focus; -1 for none."""
    return int(page.evaluate("[...document.querySelectorAll('#text .t')].indexOf(document.activeElement)"))


def test_tokens_by_keys_alone(page: Page, viewed: Running) -> None:
    """One stop for the whole text, and from there from token to token, each with its story."""
    open_step(page, viewed, MIXED)
    tokens, tip, stops = page.locator("#text .t"), page.locator("#tip"), page.locator("#text [tabindex]")
    last = tokens.count() - 1
    expect(stops).to_have_count(1)
    page.locator("#slider").focus()
    page.keyboard.press("Tab")
    assert here(page) == 0
    expect(tip).to_be_visible()
    first = tip.inner_text()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert here(page) == 1
    assert tip.inner_text() != first
    for key, wanted in (("End", last), ("ArrowRight", last), ("Home", 0), ("ArrowLeft", 0)):
        page.keyboard.press(key)
        assert here(page) == wanted
        expect(tip).to_be_visible()
    page.keyboard.press("ArrowDown")
    below = here(page)
    assert below > 1
    page.keyboard.press("ArrowUp")
    assert here(page) == 0
    expect(stops).to_have_count(1)
    assert page.locator("#slider").input_value() == page.locator("#slider").get_attribute("max")  # the pass stays
    page.keyboard.press("Shift+Tab")
    assert here(page) == -1
    expect(tip).to_be_hidden()
    page.keyboard.press("Tab")
    assert here(page) == 0
    page.keyboard.press("Tab")
    assert here(page) == -1


def test_tokens_are_told_to_those_who_can_not_see_them(page: Page, viewed: Running) -> None:
    open_step(page, viewed, MIXED)
    page.locator("#text [tabindex]").focus()
    held = page.locator("#text .t.held").first
    wanted = int(held.evaluate("(e) => [...e.parentElement.children].indexOf(e)"))
    for _ in range(wanted):
        page.keyboard.press("ArrowRight")
    focused = page.locator("#text :focus")
    expect(focused).to_have_accessible_name(json.dumps(held.text_content(), ensure_ascii=False))
    expect(focused).to_have_accessible_description(re.compile("a draft that held.*confidence"))
    page.keyboard.press("Escape")
    expect(page.locator("#tip")).to_be_hidden()
    assert here(page) == wanted
    page.keyboard.press("Enter")
    expect(page.locator("#tip")).to_contain_text("a draft that held")
    told = page.locator("#tip").inner_text()
    page.locator("#text .t").filter(has_text=re.compile(r"\w")).last.hover()
    expect(page.locator("#tip")).not_to_have_text(told)
    page.locator("#told").hover()
    expect(page.locator("#tip")).to_have_text(told)  # of the one that has the focus
    page.locator("#text .t").filter(has_text=re.compile(r"\w")).last.hover()
    page.keyboard.press("Escape")
    expect(page.locator("#tip")).to_be_hidden()


def test_focus_stays_in_the_text_as_it_plays(page: Page, viewed: Running) -> None:
    open_step(page, viewed, MIXED)
    slide(page, 0.2)
    page.get_by_role("button", name="Play").click()
    page.locator("#text [tabindex]").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("e => Number(e.value) >= e.max / 2", arg=page.locator("#slider").element_handle())
    assert here(page) == 1
    expect(page.locator("#tip")).to_be_visible()


def test_everything_that_can_be_pressed_has_a_name(page: Page, viewed: Running) -> None:
    unnamed = """() => [...document.querySelectorAll('button, a, select, input, [role=img]')]
        .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length))
        .map((e) => e.outerHTML)"""
    open_list(page, viewed)
    assert page.evaluate(unnamed) == []
    open_step(page, viewed, MIXED)
    assert page.evaluate(unnamed) == []
    assert page.locator("h1").count() == 1


def test_dark(page: Page, viewed: Running, pictures: Path | None) -> None:
    open_step(page, viewed, MIXED)
    light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.get_by_role("button", name="Dark or light").click()
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != light
    page.reload()
    page.wait_for_selector("#slider")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    picture(page, pictures, "dark")


@pytest.mark.parametrize("row", [None, MIXED, DIFFUSED])
def test_phone(page: Page, viewed: Running, row: int | None) -> None:
    page.set_viewport_size({"width": 360, "height": 760})
    if row is None:
        open_list(page, viewed)
    else:
        open_step(page, viewed, row)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_unknown_step_says_so(page: Page, viewed: Running, complaints: list[str]) -> None:
    page.goto(f"http://{viewed.service.http.address}/ui/")
    page.wait_for_selector("main[data-ready]")
    page.evaluate("location.hash = '#/step/abcdef123456'")
    expect(page.get_by_role("alert")).to_contain_text("no record abcdef123456")
    (complaint,) = complaints
    assert "404" in complaint
    complaints.clear()


def test_thousands_of_tokens(page: Page, viewed: Running, pictures: Path | None) -> None:
    """Fast enough to be pleasant; the figure is measured with TRIROUTE_PICTURES, and kept in bench/results."""
    open_step(page, viewed, len(STEPS))
    tokens = page.locator("#text .t").count()
    assert tokens > 3_000
    took = page.evaluate("performance.getEntriesByName('shown').at(-1).duration")
    moved = page.evaluate(
        """() => { const e = document.getElementById('slider'); const began = performance.now();
        e.value = e.max / 2; e.dispatchEvent(new Event('input')); document.body.offsetHeight;
        return performance.now() - began; }"""
    )
    assert took < 10_000  # a page that hangs, not one that is slow on a busy machine
    if pictures is not None:
        told = {"tokens": tokens, "shown_ms": round(took), "moved_ms": round(moved)}
        (pictures / "viewer.json").write_text(json.dumps(told) + "\n", encoding="utf-8")
