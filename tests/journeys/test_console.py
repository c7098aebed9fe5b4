"""The rehearsal of a whole migration once more, by two persons who have nothing but the console."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, expect

from gateway.canonical import BY_NAME
from gateway.readiness.gates import LEAST_CALLS
from tests.console.conftest import axe as axe
from tests.console.conftest import browser as browser
from tests.journeys.aftermath import nothing_lost_or_doubled
from tests.journeys.migration import BEFORE, ELSEWHERE, REGION, Migration, keys_of, until
from tests.journeys.person import Eyes, Person
from tests.journeys.program import Program
from tests.journeys.upstream import Upstream
from tests.systems.sandbox import Sandbox

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(1200)]

#: Gates that only time and traffic can open.
EVIDENCE = {
    "Comparisons made",
    "Kinds of records that were compared",
    "Errors and latency of the other system",
}
MONEY = "Records in which money parts"
PARTED = "Records that part and stay so"
WAY_BACK = "The way back rehearsed"
#: The payments of the legacy ERP are reconciled from an export of it.
EXPORT = """
kind = "json_lines"
origin = "this test"
[entities.payment]
file = "payments.jsonl"
key = "key"
[entities.payment.fields]
reference    = "reference"
legal_entity = "legal_entity"
amount       = { amount = "amount", currency = "currency" }
"""
SETTINGS = """
two_person = true
[sources.export]
system = "legacy"
map = "{folder}/export.toml"
address = "{folder}"
"""
SOURCES = {"payment": {"legacy": "export"}}
#: Every kind of page on the way; each was looked at in both themes.
PAGES = {
    "/console/login", "/console", "/console/rules", "/console/slices/x", "/console/readiness", "/console/readiness/x",
    "/console/diffs",
    "/console/diffs/x", "/console/diffs/x/waive", "/console/waivers", "/console/records/x", "/console/backfills",
    "/console/backfills/x", "/console/backfills/x/records", "/console/reconciliations", "/console/reconciliations/x",
    "/console/switches", "/console/switches/new", "/console/switches/x",
}  # fmt: skip


def test_from_the_legacy_erp_alone_to_the_cloud_alone_by_clicks(
    tmp_path: Path, firm: Sandbox, browser: Browser, axe: str
) -> None:
    """Through the console alone, under live traffic: one person asks and another agrees, from eight slices that only
    the legacy ERP has to eight that only the cloud ERP has, with one forced back; the reports are signed in the end,
    and neither ERP has lost or doubled a write. No page has a serious fault of accessibility in either theme, breaks
    its own policy, or asks another host for anything."""
    (tmp_path / "export.toml").write_text(EXPORT)
    program = Program(
        tmp_path,
        legacy=firm.urls["legacy"],
        cloud=firm.urls["cloud"],
        more=SETTINGS.format(folder=tmp_path),
    )
    keys = keys_of(program)
    eyes = Eyes(axe=axe, pictures=tmp_path / "pictures")
    with program.serving() as serving:
        upstream = Upstream(serving.address, keys.pop("upstream"))
        persons = {role: Person(browser, serving.address, key, eyes=eyes) for role, key in keys.items()}
        asks, agrees = persons["operator"], persons["approver"]
        # What is refused on the way is refused on purpose, and the browser writes each on its console.
        asks.watch.provoked |= {409, 422}
        agrees.watch.provoked |= {409}
        upstream.begin()
        upstream.start()
        try:
            _planned(asks, upstream)
            _mirrored(asks, upstream)
            _in_shadow(asks, upstream, tmp_path)
            # There is evidence enough; from here on it is enough that somebody always writes.
            upstream.pause_s *= 5
            _accepted_for_a_time(asks, upstream, firm)
            _live(asks, agrees)
            _forced_back(asks, agrees, upstream, firm)
            _let_go(asks, agrees)
        finally:
            upstream.stop()
        with Migration(program, serving.address, keys) as migration:
            migration.quiet()
            assert upstream.faults == []
            nothing_lost_or_doubled(migration, upstream, firm)
        _signed(asks, agrees)
        assert {kind.partition(" ")[0] for kind in eyes.seen} >= PAGES
        assert eyes.faults == []
        complaints = [one for person in persons.values() for one in person.watch.complaints]
        assert not complaints, "\n".join(complaints)
        for person in persons.values():
            person.leave()


def _planned(asks: Person, upstream: Upstream) -> None:
    """What a first step would mean for the writes that there were, before it is made, and where the slice stands."""
    until("a customer in legacy_only", lambda: len(upstream.made["customer"]) >= BEFORE)
    asks.to("Rules")
    asks.page.get_by_label(f"Customer in {REGION} by the draft").select_option("dual write")
    with asks.page.expect_navigation():
        asks.press("Simulate")
    moves = asks.page.get_by_role("region", name="What would move")
    expect(moves.get_by_role("row").filter(has_text=f"Customer in {REGION}")).to_contain_text("dual write")
    asks.look()
    draft = asks.page.get_by_role("region", name="Draft")
    draft.get_by_role("link", name=f"Customer in {REGION}", exact=True).click()
    asks.page.wait_for_url(f"**/console/slices/customer/{REGION}")
    asks.look()


def _mirrored(asks: Person, upstream: Upstream) -> None:
    """``dual_write``: a panel for each slice, and a backfill that is followed to its end."""
    for entity in BY_NAME:
        until(f"{entity} in legacy_only", lambda entity=entity: len(upstream.made[entity]) >= BEFORE)
    for region in ELSEWHERE:
        asks.stage("resource", "dual_write", "people work across regions", region)
    for entity in BY_NAME:
        asks.stage(entity, "dual_write", "the cloud ERP is kept current from here on")
        regions = (*ELSEWHERE, REGION) if entity == "resource" else (REGION,)
        runs = [
            asks.begin("Backfills", "Backfill", entity, region, "the mirror begins empty") for region in regions
        ]
        for run in runs:
            asks.followed(run, "complete")
        if entity == "customer":
            asks.page.locator("#outcomes").get_by_role("link", name="created").click()
            asks.page.wait_for_url("**/records?outcome=created")
            asks.look()


def _in_shadow(asks: Person, upstream: Upstream, folder: Path) -> None:
    """``shadow``: every read is compared, until the page of each slice says that there is evidence enough."""
    for entity in BY_NAME:
        asks.stage(entity, "shadow", "both hold the same; now every read is compared", compare=1)
        until(
            f"{LEAST_CALLS} calls of each system for {entity}",
            lambda entity=entity: len(upstream.made[entity]) >= LEAST_CALLS,
        )

    def evident(entity: str) -> bool:
        open_ = asks.readiness(entity)
        if "Comparisons made" in open_:
            upstream.look(entity, REGION)
        return not open_.keys() & EVIDENCE

    for entity in BY_NAME:
        until(f"the evidence of {entity}", lambda entity=entity: evident(entity))
    with (folder / "payments.jsonl").open("wb") as export:
        for one in upstream.every("payment", REGION):
            row = {"key": one["external_refs"]["legacy"], **{name: one[name] for name in ("reference", "legal_entity")}}
            export.write(msgspec.json.encode({**row, **one["amount"]}) + b"\n")
    runs = [
        asks.begin(
            "Reconciliation", "Reconcile", entity, REGION, "before the first switch", **SOURCES.get(entity, {})
        )
        for entity in BY_NAME
    ]
    for run in runs:
        asks.followed(run, "pass")
    expect(asks.page.get_by_role("region", name="Progress")).to_contain_text("export as of")


def _accepted_for_a_time(asks: Person, upstream: Upstream, firm: Sandbox) -> None:
    """A difference that does no harm is accepted with a reason and an end, and no longer stands in the way; when it has
    gone, so does the waiver."""
    record = upstream.made["expense"][0]
    told = upstream.read("expense", record).json()
    native = told["external_refs"]["cloud"]
    firm.edit("cloud", "expense", native, {"Category": "sundries"})

    def parted() -> bool:
        upstream.read("expense", record)
        return PARTED in asks.readiness("expense")

    until("the category to part", parted)
    page = asks.page
    page.locator("[aria-labelledby=gates-head]").get_by_role("row", name=PARTED).get_by_role("link").click()
    page.wait_for_url("**/console/diffs?**")
    asks.look()
    page.locator(".finding").get_by_role("link", name=f"Expense · {REGION}").click()
    page.wait_for_url("**/console/diffs/dif_*")
    asks.look()
    page.get_by_role("link", name="The record's journey").click()
    page.wait_for_url("**/console/records/*")
    asks.look()
    page.go_back()
    page.get_by_role("link", name="Accept for a time").click()
    page.wait_for_url("**/waive")
    asks.look()
    page.get_by_label("Reason").fill("somebody tidies up the categories; it is put back tonight")
    assert asks.send("Accept")
    expect(page.locator(".box-good")).to_contain_text("Accepted")
    until("the waiver to explain it", lambda: PARTED not in asks.readiness("expense"))
    firm.edit("cloud", "expense", native, {"Category": told["category"]})
    asks.to("Differences")
    page.get_by_role("link", name="Waivers").click()
    page.get_by_role("row").filter(has_text="category").get_by_role("button", name="End now").click()
    expect(page.locator(".box-good")).to_contain_text("Ended")

    def agreed() -> bool:
        upstream.read("expense", record)
        return PARTED not in asks.readiness("expense")

    until("the category to agree again", agreed)


def _switched(asks: Person, agrees: Person, reason: str, link: str = "Ask for a switch") -> None:
    """One asks from the page of the slice, the other agrees, and both see it end without loading the page anew."""
    switch = asks.ask(link, reason)
    agrees.approve(switch)
    asks.followed(switch, "committed")
    agrees.followed(switch, "committed")
    evidence = agrees.page.get_by_role("region", name="Progress")
    expect(evidence).to_contain_text("approved by")
    expect(evidence).to_contain_text("approver")


def _live(asks: Person, agrees: Person) -> None:
    """``live``: the cloud ERP answers, one entity after the other, by two persons each."""
    told = asks.refused("customer", "live", "alone")
    expect(told).to_contain_text("needs a second person")
    told.get_by_role("link", name="Ask for a switch").click()
    asks.page.get_by_label("Reason").fill("only to see what it takes")
    assert asks.send("Ask for it")
    asks.page.get_by_label("Reason").fill("it was only to see what it takes")
    assert asks.send("Abort the switch")
    expect(asks.page.locator("#run-state")).to_have_text("aborted")
    asks.readiness("payment")
    asks.page.get_by_role("link", name="Ask for a switch", exact=True).click()
    asks.page.get_by_label("Reason").fill("too early")
    assert not asks.send("Ask for it")
    expect(asks.page.locator("#refusal")).to_contain_text("move customer to live first")
    reason = "the evidence is complete but for the way back, which the last slice rehearses for all"
    for entity in BY_NAME:
        until(
            f"the evidence of {entity} but for the way back",
            lambda entity=entity: asks.readiness(entity).keys() == {WAY_BACK},
            else_=lambda entity=entity: asks.readiness(entity),
        )
        _switched(asks, agrees, reason)


def _forced_back(asks: Person, agrees: Person, upstream: Upstream, firm: Sandbox) -> None:
    """Money parts in the slice that has just gone live. It goes back, is put right, and comes forward again."""
    record = upstream.made["payment"][0]
    told = upstream.read("payment", record)
    assert told.headers["Twinrun-Answered-By"] == "cloud"
    native, amount = told.json()["external_refs"]["cloud"], told.json()["amount"]["amount"]
    firm.edit("cloud", "payment", native, {"Amount": "1.00"})

    def money_parts() -> bool:
        upstream.read("payment", record)
        return MONEY in asks.readiness("payment")

    until("the amount to part", money_parts)
    expect(asks.page.locator("h1 .outcome")).to_have_text("fail")
    _switched(
        asks, agrees, "an amount parts: the legacy ERP answers again", "Ask for the way back to shadow"
    )
    expect(agrees.page.locator("h1 + p")).to_contain_text("rollback")
    answer = upstream.read("payment", record)
    assert (answer.headers["Twinrun-Answered-By"], answer.json()["amount"]["amount"]) == ("legacy", amount)
    firm.edit("cloud", "payment", native, {"Amount": amount})
    until("the amount to agree again", lambda: not money_parts())
    asks.followed(asks.begin("Reconciliation", "Reconcile", "payment", REGION, "after the way back"), "pass")
    until(
        "the slice to be ready", lambda: not asks.readiness("payment"), else_=lambda: asks.readiness("payment")
    )
    expect(asks.page.locator("h1 .outcome")).to_have_text("pass")
    _switched(asks, agrees, "the amount is right again, and the way back rehearsed")


def _let_go(asks: Person, agrees: Person) -> None:
    """``ramp_down``, then ``cloud_only``: the legacy ERP is kept current, and then let go."""
    for entity in BY_NAME:
        asks.stage(entity, "ramp_down", "the legacy ERP is only kept current")
    # Backwards: as long as the legacy ERP gets projects it needs their customers, those of today as well.
    for entity in reversed(BY_NAME):
        asks.readiness(entity)
        _switched(asks, agrees, "nobody reads the legacy ERP any more")
    asks.to("Routing")
    for entity in BY_NAME:
        expect(asks.page.locator(f"#slice-{entity}-{REGION} .stage-word")).to_have_text("cloud only")


def _signed(asks: Person, agrees: Person) -> None:
    """Each report is signed by whoever did not ask for the moves, and every form of it says so."""
    asks.readiness("customer")
    expect(asks.page.get_by_role("region", name="Signatures")).to_contain_text("This key may not sign")
    for entity in BY_NAME:
        agrees.sign(entity)
    agrees.to("Readiness")
    with agrees.page.expect_download() as download:
        agrees.page.get_by_role("link", name="CSV").click()
    rows = csv.DictReader(download.value.path().read_text("utf-8").splitlines())
    signed = {row["entity"] for row in rows if row["region"] == REGION and "signed by approver" in row["signed"]}
    assert signed == BY_NAME.keys()
    assert agrees.page.get_by_role("row").filter(has_text=f"in {REGION}").filter(has_text="approver").count() == 8
