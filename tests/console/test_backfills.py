"""Backfills in a real browser: begun, followed, steered, and taken apart to the records of an outcome."""

from __future__ import annotations

import csv
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from gateway.backfill.run import State
from tests.console.conftest import Watch
from tests.console.fake_backfiller import CREATED, HOSTILE, id_of
from tests.console.fakes import LOOK_ONLY, UK_ONLY, FakeGateway

Enter = Callable[..., None]
LIST = "/console/backfills"
DONE, FAILED, RUNNING = (f"{LIST}/{id_of(number)}" for number in (1, 2, 3))


def test_a_mirror_is_filled_and_followed_to_its_end(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """From the list to the page of the run, which stays live: chunks and records taken, and in the end what is
    verified."""
    enter(page)
    page.get_by_role("link", name="Backfills", exact=True).click()
    page.get_by_label("Slice and direction").select_option("time_entry/EMEA")
    page.get_by_label("What for").fill("before the switch")
    page.get_by_role("button", name="Backfill", exact=True).click()
    page.wait_for_url(f"**{LIST}/{id_of(4)}")
    made = gateway.backfiller.runs[id_of(4)]
    assert (made.entity, made.region, made.actor, made.reason) == (
        "time_entry",
        "EMEA",
        "Ada Migration",
        "before the switch",
    )
    expect(page.locator("#run-state")).to_contain_text("running")
    gateway.backfiller.change(made, phase="bring", total=4321, read=1000, created=998, linked=2)
    progress = page.get_by_role("region", name="Progress")
    expect(progress).to_contain_text("1,000 of 4,321")
    expect(progress).to_contain_text("20 of 87")
    expect(page.get_by_role("progressbar", name="Records taken")).to_have_attribute("value", "1000")
    gateway.backfiller.change(
        made, state=State.DONE, phase="verify", total=4321, read=4321, created=4321, failed=0, differs=0,
        unlinked=0, ended_at=made.created_at,
    )  # fmt: skip
    expect(page.locator("#run-state")).to_contain_text("complete")
    expect(page.get_by_role("region", name="Verified")).to_contain_text("0")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_the_list_goes_on_by_itself(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """How far each has come moves without a click, and what was typed into the form stays."""
    enter(page)
    page.goto(LIST)
    page.get_by_label("What for").fill("typed already")
    row = page.get_by_role("row").filter(has_text="Expense in EMEA")
    expect(row).to_contain_text("425 of 1,200")
    expect(row).to_contain_text(HOSTILE)
    gateway.backfiller.change(gateway.backfiller.runs[id_of(3)], read=1150)
    expect(row).to_contain_text("1,150 of 1,200")
    expect(page.get_by_label("What for")).to_have_value("typed already")


def test_paused_resumed_and_cancelled_with_a_reason(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """Each act takes its reason along, and only the acts that fit are offered."""
    enter(page)
    page.goto(RUNNING)
    expect(page.get_by_role("button", name="Resume")).to_have_count(0)
    page.get_by_role("button", name="Pause").click()
    assert gateway.backfiller.reasons == [], "without a reason the form is not sent"
    for act, reason, state in (
        ("Pause", "nightly batch", "paused"),
        ("Resume", "the batch is over", "running"),
        ("Cancel", "wrong slice", "cancelled"),
    ):
        page.get_by_label("Reason").fill(reason)
        page.get_by_role("button", name=act).click()
        expect(page.locator("#run-state")).to_have_text(state)
        assert gateway.backfiller.reasons[-1] == reason
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)


def test_an_act_that_came_too_late(page: Page, enter: Enter, watch: Watch, gateway: FakeGateway) -> None:
    """It is said, and the page shows how the run stands now."""
    watch.provoked.add(409)
    enter(page)
    page.goto(RUNNING)
    page.get_by_label("Reason").fill("too late")
    page.evaluate(
        "document.querySelector('#run').removeAttribute('hx-get'); document.querySelector('#run').remove()"
    )
    run = gateway.backfiller.runs[id_of(3)]
    gateway.backfiller.change(run, state=State.DONE, phase="verify", failed=0, differs=0, unlinked=0)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#refusal")).to_contain_text("no state in which that can be done")
    expect(page.locator("#run-state")).to_contain_text("complete")


def test_every_outcome_leads_to_its_records(page: Page, enter: Enter) -> None:
    """With the reason, the write and the case; narrowed by outcome, page by page; what somebody wrote is text."""
    enter(page)
    page.goto(DONE)
    table = page.locator("#outcomes")
    table.get_by_role("row").filter(has_text="Blocked").get_by_role("link").click()
    page.wait_for_url("**/records?outcome=blocked")
    expect(page.get_by_role("row").filter(has_text="inv_91")).to_contain_text("backfill customer first")
    page.get_by_label("Outcome").select_option("ambiguous")
    page.wait_for_url("**/records?outcome=ambiguous")
    line = page.get_by_role("row").filter(has_text="inv_90")
    expect(line).to_contain_text(HOSTILE)
    expect(line).to_contain_text("parked")
    expect(line.get_by_role("link", name="cas_01930001")).to_have_attribute(
        "href", "/console/cases/cas_01930001"
    )
    page.get_by_role("link", name="Clear").click()
    expect(page.get_by_role("rowheader")).to_have_count(50)
    page.get_by_role("link", name="More records").click()
    expect(page.get_by_role("rowheader")).to_have_count(CREATED + 2 - 50)


def test_the_tables_say_the_same_as_the_pages(page: Page, enter: Enter) -> None:
    """The CSV of an outcome has every record and not those of one page; that of the list has the counts."""
    enter(page)
    rows = list(csv.DictReader(page.request.get(f"{DONE}/records.csv?outcome=created").text().splitlines()))
    assert len({row["record"] for row in rows}) == CREATED
    (refused,) = (row for row in rows if row["delivery_state"] == "rejected")
    assert (refused["record"], refused["why"]) == ("inv_07", "the tax code is not known there")
    (line,) = csv.DictReader(page.request.get(f"{LIST}.csv?state=done").text().splitlines())
    assert (line["backfill"], line["created"], line["ambiguous"], line["unlinked"]) == (
        id_of(1),
        str(CREATED),
        "1",
        "3",
    )


def test_a_second_one_over_the_same_slice_leads_to_the_first(
    page: Page, enter: Enter, gateway: FakeGateway
) -> None:
    """Whoever asks for what is being done already is taken there."""
    enter(page)
    page.goto(LIST)
    count = len(gateway.backfiller.runs)
    page.get_by_label("Slice and direction").select_option("expense/EMEA")
    page.get_by_role("button", name="Backfill", exact=True).click()
    page.wait_for_url(f"**{RUNNING}")
    assert len(gateway.backfiller.runs) == count


def test_only_mirrors_are_filled_and_only_from_the_authority(
    page: Page, enter: Enter, gateway: FakeGateway
) -> None:
    """The form has the slices that keep two systems, each with its one direction."""
    enter(page)
    page.goto(LIST)
    options = page.get_by_label("Slice and direction").locator("option")
    offered = dict(
        one.split("|", 1) for one in options.evaluate_all("all => all.map(one => one.value + '|' + one.text)")
    )
    for one in gateway.slices.known.values():
        alone = one.stage in ("legacy_only", "cloud_only")
        words = offered.get(f"{one.entity}/{one.region}")
        other = "legacy" if one.authority == "cloud" else "cloud"
        assert (words is None) == alone
        assert alone or words is None or words.endswith(f"{one.authority} → {other}")


def test_a_slice_that_is_none_is_refused(page: Page, enter: Enter, watch: Watch) -> None:
    """The form stands as it was filled in, with what is wrong above it."""
    watch.provoked.add(422)
    enter(page)
    page.goto(LIST)
    page.get_by_label("Slice and direction").evaluate(
        "box => { box.options[0].value = 'planet/MARS'; box.selectedIndex = 0 }"
    )
    page.get_by_label("What for").fill("typed already")
    page.get_by_role("button", name="Backfill", exact=True).click()
    expect(page.locator("#refusal")).to_contain_text("pick the slice")
    expect(page.get_by_label("What for")).to_have_value("typed already")


def test_a_key_that_may_only_look_steers_nothing(
    page: Page, enter: Enter, watch: Watch, gateway: FakeGateway
) -> None:
    """It sees runs and records, no form, and a form that it sends all the same is refused."""
    watch.provoked.add(403)
    enter(page, key=LOOK_ONLY)
    page.goto(LIST)
    expect(page.get_by_role("row")).to_have_count(4)
    expect(page.get_by_role("button", name="Backfill", exact=True)).to_have_count(0)
    page.goto(RUNNING)
    expect(page.locator("#run-state")).to_contain_text("running")
    expect(page.get_by_label("Reason")).to_have_count(0)
    csrf = page.locator("input[name=csrf]").first.get_attribute("value") or ""
    origin = {"Origin": page.evaluate("location.origin")}
    answer = page.request.post(f"{RUNNING}/cancel", form={"csrf": csrf, "reason": "x"}, headers=origin)
    assert answer.status == 403
    assert gateway.backfiller.reasons == []


@pytest.mark.parametrize("address", [DONE, f"{DONE}/records", f"{DONE}/records.csv"])
def test_another_region_s_backfill_is_not_there(page: Page, enter: Enter, watch: Watch, address: str) -> None:
    """A key of one region sees neither the run nor its records."""
    watch.provoked.add(404)
    enter(page, key=UK_ONLY)
    answer = page.goto(address)
    assert answer is not None
    assert answer.status == 404


def test_what_failed_says_why(page: Page, enter: Enter) -> None:
    """A run that can go no further shows its reason."""
    enter(page)
    page.goto(f"{LIST}?state=failed")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("link", name="Project in EMEA").click()
    page.wait_for_url(f"**{FAILED}")
    expect(page.locator("main")).to_contain_text("the slice has moved to live")


def test_paper_has_the_figures_and_no_form(page: Page, enter: Enter) -> None:
    """Printed, a run is its figures and its outcomes."""
    enter(page)
    page.goto(RUNNING)
    page.emulate_media(media="print")
    expect(page.locator("#outcomes")).to_be_visible()
    expect(page.get_by_label("Reason")).to_be_hidden()
