"""Reconciliations in a real browser: begun, followed, cancelled, and taken apart to the records of a term."""

from __future__ import annotations

import csv
from collections.abc import Callable
from decimal import Decimal

import msgspec
from playwright.sync_api import Page, expect

from gateway.reconcile.run import Phase, SourceUse, UnreadableRow, Verdict
from gateway.reconcile.sources import Unreadable
from tests.console.conftest import Watch
from tests.console.fake_reconciler import HOSTILE, LATE
from tests.console.fakes import LOOK_ONLY, FakeGateway
from tests.unit.http.fake_reconciler import AT, finished

Enter = Callable[..., None]
LIST = "/console/reconciliations"


def test_a_slice_is_reconciled_and_followed_to_its_end(
    page: Page, enter: Enter, gateway: FakeGateway
) -> None:
    """From the list to the page of the run, which stays live: what is read, and in the end the bridge."""
    enter(page)
    page.get_by_role("link", name="Reconciliation", exact=True).click()
    page.get_by_label("Slice", exact=True).select_option("invoice/EMEA")
    page.get_by_label("What for").fill("month end")
    page.get_by_role("button", name="Reconcile").click()
    page.wait_for_url(f"**{LIST}/rcn_4")
    made = gateway.reconciler.runs[0]
    assert (made.entity, made.region, made.actor, made.reason) == (
        "invoice",
        "EMEA",
        "Ada Migration",
        "month end",
    )
    expect(page.locator("#run-state")).to_contain_text("running")
    gateway.reconciler.runs[0] = msgspec.structs.replace(made, phase=Phase.MIRROR, read_authority=4321)
    expect(page.get_by_role("region", name="Progress")).to_contain_text("4,321")
    gateway.reconciler.runs[0] = finished(4, region="EMEA")
    expect(page.locator("#run-state")).to_contain_text("fail")
    expect(page.get_by_role("table").first).to_contain_text("9,999,999,999.99 EUR")
    expect(page.get_by_role("link", name="CSV")).to_be_visible()
    expect(page.locator("#live")).to_have_count(0)


def test_every_term_leads_to_its_records(page: Page, enter: Enter) -> None:
    """The cell of a term opens the records that it adds up, page by page; what is zero leads nowhere."""
    enter(page, f"{LIST}/rcn_1")
    row = page.locator("#bridge").get_by_role("row").filter(has_text="Total")
    expect(row.get_by_role("link")).to_have_count(2)
    row.get_by_role("link", name="Unexplained").click()
    page.wait_for_url("**/records?term=unexplained&measure=total&currency=EUR")
    line = page.get_by_role("row").filter(has_text="inv_00")
    expect(line).to_contain_text("parts when read again")
    expect(line).to_contain_text("0.01 EUR")
    page.go_back()
    row.get_by_role("link", name="Late").click()
    page.wait_for_url("**/records?term=late&measure=total&currency=EUR")
    expect(page.get_by_role("rowheader")).to_have_count(50)
    expect(page.get_by_role("cell", name="Balance")).to_have_count(0)
    page.get_by_role("link", name="More records").click()
    expect(page.get_by_role("rowheader")).to_have_count(LATE - 50)


def test_the_tables_say_the_same_as_the_pages(page: Page, enter: Enter) -> None:
    """The CSV of the bridge adds up exactly, and that of a term has every record, not only those of one page."""
    enter(page, f"{LIST}/rcn_1")
    answer = page.request.get(f"{LIST}/rcn_1/bridge.csv")
    (line,) = csv.DictReader(answer.text().splitlines())
    terms = sum(Decimal(line[term]) for term in ("late", "queued", "in_case", "waived", "unexplained"))
    assert Decimal(line["authority"]) == Decimal(line["mirror"]) + terms
    assert (line["measure"], line["currency"], line["unexplained"], line["residual"]) == (
        "total",
        "EUR",
        "0.01",
        "0.00",
    )
    answer = page.request.get(f"{LIST}/rcn_1/records.csv?term=late")
    rows = list(csv.DictReader(answer.text().splitlines()))
    assert len({row["record"] for row in rows}) == LATE
    assert {row["part"] for row in rows} == {"0.10"}


def test_one_that_runs_is_cancelled(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """What somebody else wrote is text, and the button ends the run."""
    enter(page)
    page.goto(f"{LIST}/rcn_3")
    expect(page.locator("main")).to_contain_text(HOSTILE)
    expect(page.locator("main")).to_contain_text("reads again what parts")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#run-state")).to_contain_text("cancelled")
    assert (gateway.reconciler.runs[0].state, gateway.reconciler.runs[0].ended_by) == (
        "cancelled",
        "Ada Migration",
    )


def test_a_side_is_read_from_a_source(page: Page, enter: Enter, gateway: FakeGateway, watch: Watch) -> None:
    """The sources of the settings are offered by system, with what each has; one that has no such records is refused
    and stays picked; a system without a source is not asked about."""
    watch.provoked.add(422)
    enter(page, LIST)
    expect(page.get_by_label("Read cloud from")).to_have_count(0)
    source = page.get_by_label("Read legacy from")
    expect(source.locator("option")).to_have_text(
        ["its adapter", "nightly: invoice, payment, time entry", f"{HOSTILE}: expense"]
    )
    page.get_by_label("Slice", exact=True).select_option("project/EMEA")
    source.select_option("nightly")
    page.get_by_role("button", name="Reconcile").click()
    expect(page.locator("#refusal")).to_contain_text("nightly has no project")
    expect(source).to_have_value("nightly")
    page.get_by_label("Slice", exact=True).select_option("invoice/EMEA")
    page.get_by_role("button", name="Reconcile").click()
    page.wait_for_url(f"**{LIST}/rcn_4")
    expect(page.get_by_role("region", name="Progress")).to_contain_text("nightly")
    assert gateway.reconciler.runs[0].sources == {"authority": SourceUse(name="nightly")}


def test_without_sources_nobody_is_asked(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """Where the settings declare none, both sides are read through their adapters, and that is no question."""
    gateway.reconciler.sources = ()
    enter(page, LIST)
    expect(page.get_by_role("button", name="Reconcile")).to_be_visible()
    expect(page.get_by_label("from")).to_have_count(0)


def test_a_second_one_over_the_same_slice_leads_to_the_first(
    page: Page, enter: Enter, gateway: FakeGateway
) -> None:
    """Whoever asks for what is being done already is taken there."""
    enter(page)
    page.goto(LIST)
    count = len(gateway.reconciler.runs)
    page.get_by_label("Slice", exact=True).select_option("expense/EMEA")
    page.get_by_role("button", name="Reconcile").click()
    page.wait_for_url(f"**{LIST}/rcn_3")
    assert len(gateway.reconciler.runs) == count


def test_only_slices_with_two_systems_are_offered(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """The form has the slices that keep a mirror, and no other."""
    enter(page)
    page.goto(LIST)
    offered = set(
        page.get_by_label("Slice", exact=True)
        .locator("option")
        .evaluate_all("found => found.map(one => one.value)")
    )
    one_sided = {
        f"{one.entity}/{one.region}"
        for one in gateway.slices.known.values()
        if one.stage in ("legacy_only", "cloud_only")
    }
    assert one_sided
    assert offered
    assert not offered & one_sided


def test_a_slice_that_is_none_is_refused(page: Page, enter: Enter, watch: Watch) -> None:
    """The form stands as it was filled in, with what is wrong above it."""
    watch.provoked.add(422)
    enter(page)
    page.goto(LIST)
    page.get_by_label("Slice", exact=True).evaluate("box => box.options[0].value = 'planet/MARS'")
    page.get_by_label("What for").fill("typed already")
    page.get_by_label("Slice", exact=True).evaluate("box => box.selectedIndex = 0")
    page.get_by_role("button", name="Reconcile").click()
    expect(page.locator("#refusal")).to_contain_text("pick the slice")
    expect(page.get_by_label("What for")).to_have_value("typed already")


def test_a_key_that_may_only_look_begins_nothing(page: Page, enter: Enter) -> None:
    """It sees runs, bridges and records, and no form."""
    enter(page, key=LOOK_ONLY)
    page.goto(LIST)
    expect(page.get_by_role("row")).to_have_count(4)
    expect(page.get_by_role("button", name="Reconcile")).to_have_count(0)
    page.goto(f"{LIST}/rcn_3")
    expect(page.locator("#run-state")).to_contain_text("running")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_what_failed_says_why(page: Page, enter: Enter) -> None:
    """A run that can say nothing shows its reason and no figure."""
    enter(page)
    page.goto(f"{LIST}?state=failed")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("link", name="Invoice in EMEA").click()
    expect(page.locator("main")).to_contain_text("the slice has moved to live")
    expect(page.get_by_role("table")).to_have_count(0)


def test_what_was_not_looked_at_is_said(page: Page, enter: Enter) -> None:
    """Figures that cannot be given have their reason, and fields that nobody compared are named."""
    enter(page)
    page.goto(f"{LIST}/rcn_1")
    expect(page.locator("main")).to_contain_text("no profile maps accounts")
    expect(page.locator("main")).to_contain_text("custom_fields")


def test_a_source_and_its_bad_rows_are_shown(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """Which side was read from which source, and each row of it that could not be read, with line, field and reason; a
    run that has such rows does not say that there was nothing to compare."""
    rows = (
        UnreadableRow(side="authority", row=Unreadable(line=17, field="total", reason=f"is not a number {HOSTILE}")),
        UnreadableRow(side="authority", row=Unreadable(line=0, field=None, reason="rows without a Id: 2", rows=2)),
    )
    run = finished(
        9,
        verdict=Verdict.INCONCLUSIVE,
        sources={"authority": SourceUse(name="nightly", made_at=AT, unreadable=3)},
        unreadable=rows,
    )
    assert run.report is not None
    report = msgspec.structs.replace(run.report, unreadable={"authority": 3, "mirror": 0})
    gateway.reconciler.runs.insert(0, msgspec.structs.replace(run, report=report))
    enter(page, f"{LIST}/rcn_9")
    progress = page.get_by_role("region", name="Progress")
    expect(progress).to_contain_text("a part of it could not be read")
    expect(progress).to_contain_text("source of the authority")
    expect(progress).to_contain_text("3 rows unreadable")
    table = page.locator("#unreadable").get_by_role("row")
    expect(table).to_have_count(3)
    expect(table.nth(1)).to_contain_text("nightly")
    expect(table.nth(1)).to_contain_text("17")
    expect(table.nth(1)).to_contain_text(HOSTILE)
