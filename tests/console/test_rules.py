"""The rules as a whole, in a real browser: a draft, a change at a time, windows, guards, and the way back."""

from __future__ import annotations

import csv
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from gateway.routing.stage import Stage
from tests.console.conftest import Watch
from tests.console.fakes import LOOK_ONLY, FakeGateway

Enter = Callable[..., None]


def _last_changes(page: Page) -> Locator:
    return page.get_by_role("region", name="List of last changes").get_by_role("row")


def test_a_draft_is_simulated_and_changes_nothing(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """What would move, what it needs and what would break, from a picked draft that the address keeps; also as CSV."""
    enter(page)
    page.get_by_role("link", name="Rules").click()
    before = dict(gateway.slices.known)
    page.get_by_label("Project in APAC by the draft").select_option("live")
    page.get_by_label("Days back").fill("30")
    page.get_by_role("button", name="Simulate").click()
    page.wait_for_url("**days=30**")
    expect(page.locator("#simulated")).to_contain_text("3,200 writes of the last 30 days")
    moved = page.get_by_role("region", name="What would move").get_by_role("row").filter(has_text="Project in APAC")
    expect(moved).to_contain_text("moves the authority")
    expect(moved).to_contain_text("a switch")
    expect(page.get_by_label("Project in APAC by the draft")).to_have_value("project/APAC=live")
    assert gateway.slices.known == before
    link = page.get_by_role("link", name="CSV").get_attribute("href")
    assert link is not None
    answer = page.request.get(link)
    rows = list(csv.DictReader(answer.text().splitlines()))
    assert [(one["entity"], one["region"], one["to"], one["needs a switch"]) for one in rows] == [
        ("project", "APAC", "live", "yes")
    ]


def test_a_dependency_that_would_break_is_said(page: Page, enter: Enter) -> None:
    """A draft in which a customer falls behind its projects names them."""
    enter(page)
    page.goto("/console/rules?to=customer/UK=legacy_only")
    expect(page.locator("#simulated")).to_contain_text("would break")
    expect(page.locator(".box-bad")).not_to_have_count(0)


def test_an_address_that_names_nonsense_moves_nothing(page: Page, enter: Enter) -> None:
    """What the address names and no slice is, is not simulated, and the page stands."""
    enter(page)
    page.goto("/console/rules?to=nonsense&to=project/UK=moon&days=abc&to=")
    expect(page.get_by_role("heading", name="Simulate a draft")).to_be_visible()
    expect(page.locator("#simulated")).to_have_count(0)


def test_a_change_is_scheduled(page: Page, enter: Enter, watch: Watch, gateway: FakeGateway) -> None:
    """A refusal says why and loses nothing that was typed; then the change stands in the list."""
    watch.provoked.add(422)
    enter(page)
    page.goto("/console/rules")
    page.get_by_label("Slice").select_option("project/UK")
    page.get_by_label("Stage then").select_option("live")
    page.get_by_label("At UTC").fill("2026-11-01T22:00")
    page.get_by_label("Reason").fill("In the night of the first")
    page.get_by_role("button", name="Schedule it").click()
    expect(page.locator("#refusal")).to_contain_text("past")
    expect(page.get_by_label("Reason")).to_have_value("In the night of the first")
    page.get_by_label("At UTC").fill("2026-12-06T22:00")
    page.get_by_role("button", name="Schedule it").click()
    page.wait_for_url("**/console/scheduled")
    expect(page.get_by_role("row").filter(has_text="In the night of the first")).to_contain_text("2026-12-06")
    assert gateway.schedule.kept["sch_01930004"].to_stage is Stage.LIVE


def test_the_last_change_is_taken_back_with_one_click(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """The slice goes to where it was before, on the version that the page showed, with a reason that says so."""
    enter(page)
    slice_ = gateway.slices.known["project", "UK"]
    page.goto("/console/rules")
    row = _last_changes(page).filter(has_text="Project in UK").first
    row.get_by_role("button", name="Back to").click()
    page.wait_for_url("**/console/slices/project/UK?done=1")
    after = gateway.slices.known["project", "UK"]
    assert (after.version, after.stage.position) == (slice_.version + 1, slice_.stage.position - 1)
    assert gateway.switchover.calls[-1]["reason"].startswith(f"back from version {slice_.version}")


def test_a_way_back_from_a_page_that_is_old_is_refused(
    page: Page, enter: Enter, watch: Watch, gateway: FakeGateway
) -> None:
    """Somebody has moved the slice meanwhile: what was offered would no longer be the way back."""
    watch.provoked.add(422)
    enter(page)
    page.goto("/console/rules")
    row = _last_changes(page).filter(has_text="Project in UK").first
    there = gateway.slices.known["project", "UK"]
    gateway.slices.known["project", "UK"] = type(there)(
        **{name: getattr(there, name) for name in there.__struct_fields__} | {"version": there.version + 1}
    )
    row.get_by_role("button", name="Back to").click()
    expect(page.locator("#refusal")).to_contain_text("has moved since")
    assert gateway.switchover.calls == []


def test_windows_and_guards_are_shown(page: Page, enter: Enter) -> None:
    """When no authority moves, which window is open today and until when, and what guards watch."""
    enter(page)
    page.goto("/console/rules")
    windows = page.get_by_role("region", name="List of freeze windows")
    audit = windows.get_by_role("row").filter(has_text="Audit")
    expect(audit).to_contain_text("until 2026-11-27")
    expect(audit).to_contain_text("<b>on site</b>")
    expect(windows.get_by_role("row").filter(has_text="Month-end close")).to_contain_text("open")
    expect(page.get_by_role("region", name="List of guards")).to_contain_text("2 of 3")


def test_a_key_that_may_only_look_simulates_and_changes_nothing(page: Page, enter: Enter) -> None:
    """Simulating changes nothing, so whoever may look may do it; no form that changes is offered."""
    enter(page, key=LOOK_ONLY)
    page.goto("/console/rules?to=project/UK=live")
    expect(page.locator("#simulated")).to_be_visible()
    expect(page.get_by_role("button", name="Schedule it")).to_have_count(0)
    expect(page.get_by_role("button", name="Back to")).to_have_count(0)
