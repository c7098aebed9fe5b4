"""The flow of writes in a real browser, over a running gateway in whose journal letters wait and lanes are held."""

from __future__ import annotations

import asyncio
import csv
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import Connection

from gateway.app import Gateway
from gateway.cases import Kind
from gateway.database.rows import insert_rows
from gateway.dispatch.dead_letters import Narrowed
from gateway.ledger import journal
from gateway.ledger.tables import attempt, delivery
from gateway.settings import Settings
from tests.console.conftest import Served, Watch
from tests.integration.cases.planted import Planted, Write

pytestmark = pytest.mark.server

Enter = Callable[..., None]
LETTERS = 30
HOSTILE = "<script>alert(1)</script> is no name"


class Running(Served):
    """A gateway, its pages and what waits in its journal, in one thread. Its replays go on while ``working`` is
    set."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(database=f"sqlite:///{folder / 'twinrun.db'}", replay_per_s=8)
        self._gateway = Gateway(settings)
        self.working = threading.Event()
        self.keys: dict[str, str] = {}
        self.writes: dict[str, Write] = {}
        self.case = ""
        self.run = ""
        super().__init__(None)

    def _run(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        gateway = self._gateway
        await gateway.open()
        await gateway.start(worker=False)
        work = asyncio.create_task(self._work())
        try:
            both = ("admin:read", "admin:write")
            for name, scopes, regions in (
                ("Ada", both, None), ("Auditor", ("admin:read",), None), ("UK desk", both, ("UK",)),
            ):  # fmt: skip
                self.keys[name], _ = await gateway.keys.create(
                    name, scopes=scopes, regions=regions, actor="test"
                )
            await self._plant(Planted(gateway.database))
            first = await gateway.replays.start(Narrowed(code="NONE"), actor="Kim", reason="nothing waits")
            await gateway.replays.run_once()
            self.run = first.id
            await self.serve(gateway.asgi())
        finally:
            work.cancel()
            await gateway.stop()

    async def _work(self) -> None:
        while True:
            if self.working.is_set():
                await self._gateway.replays.run_once()
            await asyncio.sleep(0.05)

    async def _plant(self, planted: Planted) -> None:
        async def letter(name: str, entity: str, code: str, message: str, region: str = "UK") -> Write:
            write = await planted.write(
                entity, operation_state="attention", authority="applied", mirror="parked", region=region
            )
            await self._say(write, code, message)
            self.writes[name] = write
            return write

        for number in range(LETTERS):
            await letter(f"vat {number}", "invoice", "VAT", f"the VAT id DE{1000 + number} is not known")
        for number in range(4):
            await letter(f"name {number}", "customer", "NAME", f"name 'Quay {number}' is too long", "DACH")
        await letter("hostile", "customer", "HTML", HOSTILE)
        await planted.newer(
            await letter("overtaken", "customer", "NAME", "name 'x' is too long"), state="applied"
        )
        await planted.newer(
            await letter("newer", "invoice", "DATE", "no period for 2026-03-31"), state="applied"
        )
        self.case = await planted.case(self.writes["newer"], Kind.PARKED_DELIVERY, role="mirror")
        self.writes["unresolved"] = await planted.write(
            "invoice", operation_state="unresolved", authority="parked", mirror="blocked"
        )
        self.writes["held"] = await planted.write(
            "customer", operation_state="accepted", authority="unknown", mirror="blocked"
        )

    async def _say(self, write: Write, code: str, message: str) -> None:
        """What the mirror said, as an attempt and as events."""

        def unit(connection: Connection) -> None:
            at = self._gateway.database.now(connection)
            connection.execute(
                delivery.update().where(delivery.c.id == write.mirror).values(code=code, message=message)
            )
            insert_rows(
                connection,
                attempt,
                [
                    {
                        "delivery_id": id_, "number": 1, "started_at": at - 400_000 + 200_000 * late,
                        "ended_at": at - 300_000 + 200_000 * late, "outcome": outcome, "code": code if late else None,
                        "message": message if late else None,
                    }
                    for late, (id_, outcome) in enumerate(
                        ((write.authority, "applied"), (write.mirror, "refused_mirror"))
                    )
                ],
            )  # fmt: skip
            journal.add_events(
                connection,
                [
                    journal.event_row(
                        at=at - 500_000 + 200_000 * place, operation_id=write.operation_id,
                        record_id=write.record_id, name=name, delivery_id=id_, detail=detail,
                    )
                    for place, (name, id_, detail) in enumerate(
                        (
                            ("accepted", None, None),
                            ("authority_applied", write.authority, "legacy 4711"),
                            ("mirror_parked", write.mirror, f"cloud: {message}"),
                        )
                    )
                ],
            )  # fmt: skip

        await self._gateway.database.transaction(unit)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    started = Running(tmp_path_factory.mktemp("running"))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def served(running: Running) -> Served:
    return running


def row(page: Page, text: str) -> Any:
    return page.locator(".letters tbody tr").filter(has_text=text)


def test_what_waits_and_what_is_held(page: Page, enter: Enter, running: Running) -> None:
    """From the navigation to the systems, the held lane with its record, and the causes with their counts."""
    enter(page, key=running.keys["Ada"])
    page.get_by_role("navigation", name="Console").get_by_role("link", name="Flow").click()
    page.wait_for_url("**/console/flow")
    expect(page.locator("#target-cloud")).to_contain_text(str(LETTERS + 7))
    expect(page.locator("#target-legacy .bad dd")).to_have_text("1")
    expect(page.locator("#target-legacy .warn dd")).to_have_text("1")
    held = page.locator(".held")
    expect(held.get_by_role("link", name=running.writes["held"].record_id)).to_be_visible()
    expect(row(page, "the VAT id … is not known").locator(".num")).to_have_text(str(LETTERS))
    expect(row(page, "name … is too long").locator(".num")).to_have_text("5")
    expect(row(page, "name … is too long")).to_contain_text("1 overtaken by a newer state")
    expect(row(page, "no period for …")).to_contain_text("a newer write is there")
    expect(row(page, "it did not say")).to_contain_text("Decide the cases")
    expect(page.locator("#live")).to_have_text("live")


def test_filters_narrow_and_are_in_the_address(page: Page, enter: Enter, running: Running) -> None:
    """A view can be sent to a colleague; one in which nothing waits says so."""
    enter(page, address="/console/flow", key=running.keys["Ada"])
    page.get_by_label("Region").select_option("DACH")
    page.wait_for_url("**/console/flow?region=DACH")
    expect(page.locator(".letters tbody tr")).to_have_count(1)
    page.get_by_label("Entity").select_option("invoice")
    page.wait_for_url("**entity=invoice**")
    expect(page.locator(".empty")).to_contain_text("No dead letter in this view")
    page.get_by_role("link", name="Clear", exact=True).click()
    page.wait_for_url("**/console/flow")
    expect(row(page, "the VAT id")).to_have_count(1)


def test_the_letters_as_a_table(page: Page, context: BrowserContext, enter: Enter, running: Running) -> None:
    """The CSV holds single letters of the view, and nothing of it becomes a formula or a script."""
    enter(page, address="/console/flow?region=DACH", key=running.keys["Ada"])
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").click()
    text = Path(started.value.path()).read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {one["delivery"] for one in rows} == {running.writes[f"name {n}"].mirror for n in range(4)}
    assert {one["message"] for one in rows} == {f"name 'Quay {n}' is too long" for n in range(4)}
    assert len({one["cause"] for one in rows}) == 1


def test_one_write_in_the_order_of_time(page: Page, enter: Enter, running: Running) -> None:
    """What was asked, what was sent, what was said, step by step, and the case that waits."""
    write = running.writes["newer"]
    enter(page, address=f"/console/operations/{write.operation_id}", key=running.keys["Ada"])
    expect(page.get_by_role("heading", level=1)).to_contain_text("Create of invoice in UK")
    steps = page.locator(".journey li b")
    expect(steps).to_have_text(
        ["accepted", "attempt 1 begins", "authority applied", "attempt 1 begins", "mirror parked"]
    )
    expect(page.locator(".finding").nth(1)).to_contain_text("no period for 2026-03-31")
    expect(page.locator(".finding").nth(1)).to_contain_text("100 ms")
    expect(page.locator(".doc pre").first).to_contain_text('"amount": "1080.00"')
    page.get_by_role("link", name="Its case").click()
    page.wait_for_url(f"**/console/cases/{running.case}")
    page.goto(f"/console/operations/{write.operation_id}")
    page.get_by_role("link", name="the record").click()
    page.wait_for_url(f"**/console/records/{write.record_id}")


def test_hostile_text_of_a_system_does_not_run(page: Page, enter: Enter, running: Running) -> None:
    """A script in what a system said is text on every page."""
    ran: list[str] = []
    page.on("dialog", lambda dialog: (ran.append(dialog.message), dialog.dismiss()))
    enter(page, address="/console/flow", key=running.keys["Ada"])
    expect(row(page, "<script>")).to_have_count(1)
    page.goto(f"/console/operations/{running.writes['hostile'].operation_id}")
    expect(page.locator(".journey")).to_contain_text(HOSTILE)
    assert ran == []


def test_counted_first_then_sent_and_followed(
    page: Page, enter: Enter, running: Running, watch: Watch
) -> None:
    """The count stands before the button; without a reason nothing begins; a run shows how far it is, and is cancelled
    on the way."""
    watch.provoked.add(422)
    enter(page, address="/console/flow", key=running.keys["Ada"])
    row(page, "the VAT id").get_by_role("link", name="Send").click()
    expect(page.locator(".counts")).to_contain_text("would be sent again")
    expect(page.locator(".counts li b")).to_have_text([str(LETTERS), str(LETTERS), "0", "0"])
    page.locator("#reason").evaluate("(field) => field.removeAttribute('required')")
    page.get_by_role("button", name=f"Send {LETTERS} again").click()
    expect(page.locator("#refusal")).to_contain_text("say why")
    page.get_by_label("Reason").fill("The ids are known now")
    page.get_by_role("button", name=f"Send {LETTERS} again").click()
    page.wait_for_url("**/console/replays/rpl_*")
    expect(page.locator("#run-state")).to_have_text("running")
    expect(page.locator(".run-head")).to_contain_text(f"0 of {LETTERS}")
    running.working.set()
    expect(page.locator(".run progress")).not_to_have_attribute("value", "0")
    running.working.clear()
    page.get_by_role("button", name="Cancel the rest").click()
    expect(page.locator("#run-state")).to_have_text("cancelled")
    expect(page.get_by_text("not decided on")).to_be_visible()
    page.get_by_role("link", name="Flow").last.click()
    expect(page.locator(".runs li").first).to_contain_text("cancelled")


def test_a_key_of_one_region_sees_its_own(page: Page, enter: Enter, running: Running, watch: Watch) -> None:
    """Figures, causes and writes of other regions are not there."""
    watch.provoked.add(404)
    enter(page, address="/console/flow", key=running.keys["UK desk"])
    expect(row(page, "name … is too long").locator(".num")).to_have_text("1")
    page.goto(f"/console/operations/{running.writes['name 0'].operation_id}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("There is no such operation")


def test_a_run_to_its_end(page: Page, enter: Enter, running: Running) -> None:
    """What a newer state has overtaken is told apart from what was sent, and refusals are named with their reason;
    where nothing can be sent nothing is offered."""
    enter(page, address="/console/flow/replay?region=UK", key=running.keys["UK desk"])
    expect(page.locator(".counts li b").nth(2)).to_have_text("1")
    expect(page.locator(".counts li b").nth(3)).to_have_text("1")
    page.get_by_label("Reason").fill("All the same")
    page.get_by_role("button", name="Send").click()
    running.working.set()
    expect(page.locator("#run-state")).to_have_text("done")
    running.working.clear()
    expect(page.locator("#run")).to_contain_text("a newer write of this record")
    page.get_by_role("link", name="Flow", exact=True).last.click()
    row(page, "no period for").get_by_role("link", name="Send").click()
    expect(page.get_by_text("None of these can be sent")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_have_count(0)


def test_a_key_that_may_only_look(page: Page, enter: Enter, running: Running) -> None:
    """It sees everything and is offered nothing."""
    enter(page, address="/console/flow", key=running.keys["Auditor"])
    expect(page.locator(".letters tbody tr").first).to_be_visible()
    expect(page.get_by_role("link", name="Send")).to_have_count(0)
    page.goto("/console/flow/replay")
    expect(page.get_by_text("may look, not change").first).to_be_attached()
    expect(page.get_by_role("button", name="Send")).to_have_count(0)


def test_it_works_without_script(context: BrowserContext, enter: Enter, running: Running) -> None:
    """Count, send and cancel on plain pages and forms."""
    browser = context.browser
    assert browser is not None
    plain = browser.new_context(base_url=running.address, java_script_enabled=False)
    page = plain.new_page()
    enter(page, address="/console/flow/replay?code=NAME&region=DACH", key=running.keys["Ada"])
    page.get_by_label("Reason").fill("No script here")
    page.get_by_role("button", name="Send 4 again").click()
    page.wait_for_url("**/console/replays/rpl_*")
    page.get_by_role("button", name="Cancel the rest").click()
    expect(page.locator("#run-state")).to_have_text("cancelled")
    plain.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("place", ["flow", "nothing", "ask", "replay", "operation"])
def test_nothing_serious_stands_in_anybodys_way(
    page: Page, enter: Enter, axe: str, running: Running, theme: str, place: str
) -> None:
    """No page has a serious fault of accessibility, contrast included, in either theme."""
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
    address = {
        "flow": "/console/flow",
        "nothing": "/console/flow?code=none",
        "ask": "/console/flow/replay",
        "replay": f"/console/replays/{running.run}",
        "operation": f"/console/operations/{running.writes['newer'].operation_id}",
    }[place]
    enter(page, address=address, key=running.keys["Ada"])
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    serious = [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical", "moderate")
        for node in one["nodes"]
    ]
    assert serious == []
