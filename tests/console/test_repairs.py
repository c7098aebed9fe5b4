"""Repairs in a real browser: planned from what is unexplained, asked for, approved by somebody else, and followed."""

from __future__ import annotations

import csv
from collections.abc import Callable

import msgspec
from playwright.sync_api import Page, expect

from gateway.repair.run import Outcome, State
from tests.console.conftest import Watch
from tests.console.fakes import LOOK_ONLY, FakeGateway
from tests.unit.http.fake_repairer import AT, HASH, repair

Enter = Callable[..., None]
RUN = "/console/reconciliations/rcn_1"


def test_planned_from_what_is_unexplained_and_asked_for(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """From the bridge to the plan, which says what would be written where; asked for, it waits for somebody else."""
    enter(page, RUN)
    page.get_by_role("button", name="Plan a repair").click()
    page.wait_for_url("**/console/repairs/rpr_*")
    made = page.url.rpartition("/")[2]
    line = page.locator("#plan").get_by_role("row").filter(has_text="inv_1")
    expect(line).to_contain_text("Update")
    expect(line).to_contain_text("9.98")
    expect(line).to_contain_text("9.99")
    expect(line).to_contain_text("personal value")
    expect(line).to_contain_text("0.01 EUR")
    expect(page.locator("main")).to_contain_text(HASH)
    page.get_by_label("Reason").first.fill("before the month is closed")
    page.get_by_role("button", name="Request the repair").click()
    expect(page.locator("#run-state")).to_contain_text("requested")
    expect(page.locator("main")).to_contain_text("another person has to approve it")
    expect(page.get_by_role("button", name="Approve and write")).to_have_count(0)
    assert gateway.repairer.repairs[made].requested_by == "Ada Migration"
    page.goto(RUN)
    expect(page.locator("#repairs").get_by_role("row").filter(has_text=made)).to_contain_text("requested")


def test_approved_followed_and_told(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """What somebody else has asked for is approved with its hash; the page follows it by itself to what became of each
    record, and the table has a line for each field."""
    asked = repair(
        7, state=State.REQUESTED, requested_by="Grace", requested_at=AT, expires_at=AT + 1_800_000_000, reason="go"
    )
    gateway.repairer.repairs[asked.id] = asked
    enter(page, f"/console/repairs/{asked.id}")
    page.get_by_role("button", name="Approve and write 1 record").click()
    expect(page.locator("#run-state")).to_contain_text("running")
    now = gateway.repairer.repairs[asked.id]
    assert now.approved_by == "Ada Migration"
    outcomes = {Outcome.REPAIRED: 1, Outcome.PERSON: 1}
    gateway.repairer.repairs[asked.id] = msgspec.structs.replace(
        now, state=State.DONE, outcomes=outcomes, ended_at=AT
    )
    expect(page.locator("#run-state")).to_contain_text("done, not complete")
    expect(page.locator("#outcomes").get_by_role("row").filter(has_text="Repaired")).to_contain_text("1")
    expect(page.get_by_role("button", name="Cancel the repair")).to_have_count(0)
    answer = page.request.get(f"/console/repairs/{asked.id}/records.csv?action=update")
    lines = list(csv.DictReader(answer.text().splitlines()))
    assert [(line["record"], line["field"]) for line in lines] == [("inv_1", "total"), ("inv_1", "po_number")]
    page.get_by_role("link", name="1 a person's").click()
    expect(page.get_by_role("row").filter(has_text="inv_2")).to_contain_text("only cloud holds it")


def test_another_plan_is_refused_and_a_look_offers_nothing(
    page: Page, enter: Enter, watch: Watch, gateway: FakeGateway
) -> None:
    """A page whose hash is not that of the plan approves nothing; a key that may only look finds no button."""
    watch.provoked.add(409)
    asked = repair(8, state=State.REQUESTED, requested_by="Grace", requested_at=AT, expires_at=AT, plan_hash="0" * 64)
    gateway.repairer.repairs[asked.id] = asked
    enter(page, f"/console/repairs/{asked.id}")
    page.get_by_role("button", name="Approve and write").click()
    expect(page.locator("#refusal")).to_contain_text("it is another plan")
    assert gateway.repairer.repairs[asked.id].state is State.REQUESTED
    page.context.clear_cookies()
    enter(page, f"/console/repairs/{asked.id}", key=LOOK_ONLY)
    expect(page.get_by_role("button", name="Approve and write")).to_have_count(0)
    page.goto(RUN)
    expect(page.get_by_role("button", name="Plan a repair")).to_have_count(0)
