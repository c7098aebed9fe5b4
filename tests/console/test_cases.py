"""The exception queue in a real browser, over a running gateway in whose journal something waits."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from gateway.app import Gateway
from gateway.cases import Kind
from gateway.settings import Settings
from tests.console.conftest import Served, Watch
from tests.integration.cases.planted import Planted

pytestmark = pytest.mark.server

Enter = Callable[..., None]

# fmt: off
WAITING = {
    # name         entity      operation      authority  mirror     kind                           about        region
    "refused":    ("invoice",  "attention",  "applied", "parked",  Kind.PARKED_DELIVERY,          "mirror",    "UK"),
    "reference":  ("customer", "attention",  "applied", "parked",  Kind.REFERENCE_MISSING,        "mirror",    "UK"),
    "accepted":   ("customer", "attention",  "applied", "parked",  Kind.PARKED_DELIVERY,          "mirror",    "UK"),
    "unknown":    ("invoice",  "unresolved", "parked",  "blocked", Kind.UNKNOWN_OUTCOME,          "authority", "UK"),
    "duplicate":  ("customer", "unresolved", "parked",  "blocked", Kind.DUPLICATE_EFFECT,         "authority", "UK"),
    "late":       ("customer", "rejected",   "rejected", "skipped", Kind.REFUSED_AFTER_ACCEPTANCE, "authority", "UK"),
    "elsewhere":  ("customer", "attention",  "applied", "parked",  Kind.PARKED_DELIVERY,          "mirror",    "DACH"),
    "plain":      ("customer", "attention",  "applied", "parked",  Kind.PARKED_DELIVERY,          "mirror",    "UK"),
    "stale":      ("customer", "attention",  "applied", "parked",  Kind.PARKED_DELIVERY,          "mirror",    "UK"),
}
# fmt: on


class Running(Served):
    """A gateway, its pages and the planted cases in one thread."""

    def __init__(self, folder: Path) -> None:
        self._gateway = Gateway(Settings(database=f"sqlite:///{folder / 'twinrun.db'}"))
        self.keys: dict[str, str] = {}
        self.cases: dict[str, str] = {}
        super().__init__(None)

    def _run(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        gateway = self._gateway
        await gateway.open()
        await gateway.start(worker=False)
        try:
            both = ("admin:read", "admin:write")
            for name, scopes, regions in (
                ("Ada", both, None),
                ("Kim", both, None),
                ("Auditor", ("admin:read",), None),
                ("UK desk", both, ("UK",)),
            ):
                self.keys[name], _ = await gateway.keys.create(
                    name, scopes=scopes, regions=regions, actor="test"
                )
            planted = Planted(gateway.database)
            for name, (entity, operation, authority, mirror, kind, role, region) in WAITING.items():
                write = await planted.write(
                    entity, operation_state=operation, authority=authority, mirror=mirror, region=region
                )
                self.cases[name] = await planted.case(write, kind, role=role, region=region)
                if name == "stale":
                    await planted.newer(write, state="applied")
            await self.serve(gateway.asgi())
        finally:
            await gateway.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    started = Running(tmp_path_factory.mktemp("running"))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def served(running: Running) -> Served:
    return running


def decide(page: Page, decision: str, reason: str) -> None:
    page.get_by_role("radio", name=decision).check()
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("button", name="Decide").click()


def test_the_queue_is_grouped_narrowed_and_leads_on(page: Page, enter: Enter, running: Running) -> None:
    """From the navigation to the groups, the most severe first; filters narrow them; a row opens its case."""
    enter(page, key=running.keys["Ada"])
    page.get_by_role("navigation", name="Console").get_by_role("link", name="Cases").click()
    page.wait_for_url("**/console/cases")
    expect(page.locator(".finding h2").first).to_have_text("In the books twice")
    expect(page.locator(".sums")).to_contain_text("GBP")
    page.get_by_label("Kind").select_option("unknown_outcome")
    page.wait_for_url("**/console/cases?kind=unknown_outcome")
    expect(page.locator(".queue tbody tr")).to_have_count(1)
    expect(page.locator(".queue")).to_contain_text("1,080.00 GBP")
    page.get_by_role("link", name="Invoice in UK").click()
    page.wait_for_url(f"**/console/cases/{running.cases['unknown']}")
    expect(page.get_by_role("heading", name="What happened")).to_be_visible()
    expect(page.locator(".card").first).to_contain_text("The caller tests sent a create of this invoice")


def test_a_case_is_taken_talked_about_and_decided(page: Page, enter: Enter, running: Running) -> None:
    """Take it, say something, send it again: each step stands in the history with its name, and it is closed."""
    enter(page, address=f"/console/cases/{running.cases['reference']}", key=running.keys["Ada"])
    page.get_by_role("button", name="Take it").click()
    expect(page.locator(".facts")).to_contain_text("Ada")
    page.get_by_label("Comment").fill("The project is there now")
    page.get_by_role("button", name="Add to the history").click()
    expect(page.locator(".history li").last).to_contain_text("The project is there now")
    decide(page, "Send it again", "It was brought over")
    expect(page.locator(".box-good")).to_contain_text("The case is closed")
    expect(page.get_by_role("heading", name="Decide")).to_have_count(0)
    expect(page.locator(".history li").last).to_contain_text("replay: It was brought over")


def test_an_accepted_difference_has_an_end(page: Page, enter: Enter, running: Running, watch: Watch) -> None:
    """Without a day it is refused, and nothing that was typed is lost."""
    watch.provoked.add(422)
    enter(page, address=f"/console/cases/{running.cases['accepted']}", key=running.keys["Ada"])
    expect(page.locator("#until")).to_be_hidden()
    decide(page, "Accept the difference", "The vendor will not change it")
    expect(page.locator("#refusal")).to_contain_text("name a moment to come")
    expect(page.get_by_label("Reason")).to_have_value("The vendor will not change it")
    expect(page.get_by_role("radio", name="Accept the difference")).to_be_checked()
    page.locator("#until").fill("2999-12-31")
    page.get_by_role("button", name="Decide").click()
    expect(page.locator(".box-good")).to_contain_text("The case is closed")
    expect(page.locator(".card").first).to_contain_text("accepted until 2999-12-31")


def test_money_needs_a_second_person(
    page: Page, enter: Enter, running: Running, context: BrowserContext
) -> None:
    """The first one proposes; the second one is told what he would carry out, and does."""
    address = f"/console/cases/{running.cases['unknown']}"
    enter(page, address=address, key=running.keys["Ada"])
    decide(page, "Not applied: send it", "Not in the ledger of March")
    expect(page.locator(".box-good")).to_contain_text("another person has to decide the same")
    expect(page.locator(".box-note")).to_contain_text("Ada has proposed not applied resend")
    context.clear_cookies()
    enter(page, address=address, key=running.keys["Kim"])
    expect(page.locator(".picks")).to_contain_text("proposed by Ada: yours would carry it out")
    decide(page, "Not applied: send it", "I looked as well")
    expect(page.locator(".box-good")).to_contain_text("The case is closed")


def test_a_decision_that_no_longer_fits_says_what_is_so_now(
    page: Page, enter: Enter, running: Running, watch: Watch
) -> None:
    """A newer state is in the mirror: sending the old one would undo it."""
    watch.provoked.add(409)
    enter(page, address=f"/console/cases/{running.cases['stale']}", key=running.keys["Ada"])
    decide(page, "Send it again", "Try once more")
    expect(page.locator("#refusal")).to_contain_text("a newer write of this record, number 2, is in cloud")
    expect(page.locator("#refusal")).to_contain_text("What you typed is kept")


def test_the_table_is_a_file_of_what_the_view_shows(page: Page, enter: Enter, running: Running) -> None:
    """CSV with one line a case, narrowed as the view is."""
    enter(page, key=running.keys["Ada"])
    answer = page.request.get("/console/cases.csv?state=all&entity=invoice")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text())))
    assert {row["case"] for row in rows} == {running.cases["refused"], running.cases["unknown"]}
    assert {(row["amount"], row["currency"]) for row in rows} == {("1080.00", "GBP")}


def test_a_key_sees_its_own_regions(page: Page, enter: Enter, running: Running, watch: Watch) -> None:
    """What lies elsewhere is neither in the list nor there by its address."""
    watch.provoked.add(404)
    enter(page, address="/console/cases?state=all&kind=parked_delivery", key=running.keys["UK desk"])
    expect(page.locator(".queue tbody tr").first).to_be_visible()
    expect(page.locator(".queue")).not_to_contain_text("DACH")
    page.goto(f"/console/cases/{running.cases['elsewhere']}")
    expect(page.get_by_role("main")).to_contain_text("There is no such thing here")


def test_a_key_that_may_only_look_finds_no_form(page: Page, enter: Enter, running: Running) -> None:
    """Everything is shown and nothing offered."""
    enter(page, address=f"/console/cases/{running.cases['refused']}", key=running.keys["Auditor"])
    expect(page.get_by_text("may look, not change: it lacks")).to_be_visible()
    expect(page.locator("main form")).to_have_count(0)


def test_it_works_without_script(running: Running, context: BrowserContext, enter: Enter) -> None:
    """Find the case and decide it on plain pages and forms."""
    browser = context.browser
    assert browser is not None
    plain = browser.new_context(base_url=running.address, java_script_enabled=False)
    page = plain.new_page()
    enter(page, address=f"/console/cases/{running.cases['plain']}", key=running.keys["Ada"])
    decide(page, "Send it again", "No script here")
    page.wait_for_url("**?done=resolve")
    expect(page.locator(".box-good")).to_contain_text("The case is closed")
    plain.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["list", "closed", "refused", "duplicate", "late"])
def test_nothing_serious_stands_in_anybodys_way(
    page: Page, enter: Enter, axe: str, running: Running, theme: str, name: str
) -> None:
    """No page of the queue has a serious fault of accessibility, contrast included, in either theme."""
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
    lists = {"list": "/console/cases", "closed": "/console/cases?state=closed"}
    enter(page, address=lists.get(name) or f"/console/cases/{running.cases[name]}", key=running.keys["Ada"])
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    serious = [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical", "moderate")
        for node in one["nodes"]
    ]
    assert serious == []
