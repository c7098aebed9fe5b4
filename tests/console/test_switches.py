"""Asking for a switch, approving one and ending one, in a real browser."""

from __future__ import annotations

import csv
from collections.abc import Callable

from playwright.sync_api import Page, Route, expect

from gateway.switchover.states import SwitchState
from tests.console.conftest import Watch
from tests.console.fakes import LOOK_ONLY, FakeGateway

Enter = Callable[..., None]


def test_asked_from_a_slice_against_a_gate(
    page: Page, enter: Enter, watch: Watch, gateway: FakeGateway
) -> None:
    """From the matrix to the form with the slice picked; a gate that fails is said and nothing typed is lost; asked for
    all the same, the page says that another person has to approve."""
    watch.provoked.add(422)
    gateway.switches.against = "3 records of the slice without an id in the system that takes over"
    enter(page)
    page.goto("/console/slices/project/APAC")
    page.get_by_role("link", name="asked for and approved by another person").click()
    expect(page.get_by_role("radio", name="Project in APAC")).to_be_checked()
    page.get_by_label("Reason").fill("A week without a mismatch")
    page.get_by_role("button", name="Ask for it").click()
    expect(page.locator("#refusal")).to_contain_text("3 records of the slice")
    expect(page.get_by_label("Reason")).to_have_value("A week without a mismatch")
    page.get_by_label("Ask although a gate fails").check()
    page.get_by_role("button", name="Ask for it").click()
    page.wait_for_url("**/console/switches/swi_01930005")
    expect(page.locator("main")).to_contain_text("another person has to approve it")
    expect(page.get_by_role("button", name="Approve and begin")).to_have_count(0)
    assert gateway.switches.kept["swi_01930005"].requested_by == "Ada Migration"


def test_approved_with_its_evidence(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """The evidence stands beside the button, gate by gate; what is approved is its hash; the page follows the move
    without being loaded again by hand."""
    enter(page)
    page.goto("/console/switches/swi_01930004")
    evidence = page.get_by_role("region", name="Evidence", exact=True)
    expect(evidence).to_contain_text("no, overridden")
    expect(evidence).to_contain_text("1080.00 GBP")
    expect(evidence).to_contain_text("budget_amount")
    page.get_by_role("button", name="Approve and begin").click()
    expect(page.locator("#run-state")).to_have_text("approved")
    there = gateway.switches.kept["swi_01930004"]
    assert there.approved_by == "Ada Migration"
    gateway.switches.put(
        there, state=SwitchState.COMMITTED, ended_at=there.requested_at, ended_by="Ada Migration"
    )
    expect(page.locator("#run-state")).to_have_text("committed")
    expect(page.get_by_role("button", name="Abort the switch")).to_have_count(0)


def test_a_page_that_is_being_left_does_not_bring_back(
    page: Page, enter: Enter, gateway: FakeGateway
) -> None:
    """A page loads itself anew when the state of its run changes, but not under somebody who has just clicked on a
    link, however late the page behind it is: they come to where they wanted to go."""
    enter(page)
    page.goto("/console/switches/swi_01930004")
    held: list[Route] = []
    page.route("**/console/readiness", lambda route: held.append(route))
    page.get_by_role("link", name="Readiness", exact=True).first.click(no_wait_after=True)
    there = gateway.switches.kept["swi_01930004"]
    gateway.switches.put(there, state=SwitchState.COMMITTED, ended_at=there.requested_at)
    for _ in ("it would load itself anew", "it has not"):
        with page.expect_response(lambda answer: answer.headers.get("hx-refresh") == "true"):
            pass
    held[0].continue_()
    page.wait_for_url("**/console/readiness")
    expect(page.get_by_role("heading", level=1)).to_have_text("Readiness")


def test_evidence_that_has_moved(page: Page, enter: Enter, watch: Watch, gateway: FakeGateway) -> None:
    """An approval of what is not so any more is refused, says what moved, and shows the evidence as it is now."""
    watch.provoked.add(409)
    enter(page)
    page.goto("/console/switches/swi_01930004")
    there = gateway.switches.kept["swi_01930004"]
    gateway.switches.put(there, evidence_hash="f" * 64)
    page.get_by_role("button", name="Approve and begin").click()
    expect(page.locator("#refusal")).to_contain_text("cases")
    expect(page.locator(".hash")).to_have_text("f" * 64)
    page.get_by_role("button", name="Approve and begin").click()
    expect(page.locator("#run-state")).to_have_text("approved")


def test_ended_while_it_drains(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """A drain is shown with what is left and can be ended, with a reason."""
    enter(page)
    page.goto("/console/switches/swi_01930003")
    expect(page.locator("#run")).to_contain_text("12 deliveries of before")
    page.get_by_label("Reason").fill("the cloud is away")
    page.get_by_role("button", name="Abort the switch").click()
    expect(page.locator("#run-state")).to_have_text("aborted")
    problem = gateway.switches.kept["swi_01930003"].problem
    assert problem is not None
    assert problem.message == "the cloud is away"


def test_a_key_that_may_only_look(page: Page, enter: Enter) -> None:
    """It sees the switches, reasons as text, and neither asks nor approves nor ends."""
    enter(page, key=LOOK_ONLY)
    page.goto("/console/switches")
    expect(page.locator("main")).to_contain_text("A <b>week</b> without a mismatch")
    expect(page.get_by_role("link", name="Ask for a switch")).to_have_count(0)
    page.goto("/console/switches/new")
    expect(page.get_by_role("button", name="Ask for it")).to_have_count(0)
    page.goto("/console/switches/swi_01930004")
    expect(page.locator("main")).to_contain_text("lacks the scope admin:approve")
    expect(page.get_by_role("button", name="Abort the switch")).to_have_count(0)


def test_the_table_says_the_same_as_the_page(page: Page, enter: Enter) -> None:
    """The CSV has a line for each switch of the view."""
    enter(page)
    page.goto("/console/switches")
    expect(page.get_by_role("row")).to_have_count(6)
    answer = page.request.get("/console/switches.csv?state=aborted")
    rows = list(csv.DictReader(answer.text().lstrip("\ufeff").splitlines()))
    assert [(row["kind"], row["problem"]) for row in rows] == [("rollback", "nobody approved it in time")]


def test_an_emergency_is_asked_for_and_its_list_is_signed(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """Where the cloud leads the form also offers to leave it, and says what that does; the one who is to approve sees
    each write that would be stranded, what it is worth and whether it stands in the books."""
    enter(page)
    page.goto("/console/switches/new")
    offer = page.locator("label.pick", has_text="Only when cloud does not answer").first
    expect(offer).to_contain_text("emergency")
    offer.get_by_role("radio").check()
    page.get_by_label("Reason").fill("The cloud is down")
    page.get_by_role("button", name="Ask for it").click()
    page.wait_for_url("**/console/switches/swi_01930005")
    assert gateway.switches.kept["swi_01930005"].kind == "emergency"
    page.goto("/console/switches/swi_01930006")
    evidence = page.get_by_role("region", name="Evidence", exact=True)
    expect(evidence).to_contain_text("1980.00 GBP")
    expect(evidence).to_contain_text("1,204")
    rows = page.get_by_role("region", name="Stranded writes").locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text("R-2")
    expect(rows.nth(1)).to_contain_text("yes")
    page.get_by_role("button", name="Approve and begin").click()
    expect(page.locator("#run-state")).to_have_text("approved")


def test_changes_at_a_time(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """From the switches to what is to come: a change that another person has asked for is approved, one is cancelled
    with a reason, and one that was refused at its time says why."""
    enter(page)
    page.goto("/console/switches")
    page.get_by_role("link", name="Scheduled changes").click()
    rows = page.get_by_role("region", name="Scheduled changes").locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(2)).to_contain_text("Month-end close, until 2026-12-05")
    expect(rows.nth(0)).to_contain_text("In the <b>night</b>")
    rows.nth(0).get_by_role("button", name="Approve it").click()
    expect(rows.nth(0)).to_contain_text("approved by Ada Migration")
    rows.nth(1).get_by_text("Cancel it").click()
    rows.nth(1).get_by_label("Reason").fill("The month is closed a day later")
    rows.nth(1).get_by_role("button", name="Cancel the change").click()
    expect(rows.nth(1)).to_contain_text("cancelled")
    expect(rows.nth(1)).to_contain_text("The month is closed a day later")
    assert gateway.schedule.kept["sch_01930002"].ended_by == "Ada Migration"
    expect(rows.nth(1).get_by_text("Cancel it")).to_have_count(0)
