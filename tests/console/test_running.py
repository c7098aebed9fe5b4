"""The console of a running gateway: real rules, real keys, a real database, and no ERP that answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from gateway.app import Gateway
from gateway.settings import Settings
from tests.console.conftest import VIEWER_TRIES, Served, Watch

pytestmark = pytest.mark.server


class Running(Served):
    """A gateway and its pages in one thread, because its tasks belong to the loop that serves them."""

    def __init__(self, folder: Path) -> None:
        self._gateway = Gateway(Settings(database=f"sqlite:///{folder / 'twinrun.db'}"))
        self.key = ""
        super().__init__(None)

    def _run(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        await self._gateway.open()
        await self._gateway.start(worker=False)
        try:
            self.key, _ = await self._gateway.keys.create(
                "Ada Migration", scopes=("admin:read", "admin:write"), actor="test"
            )
            await self.serve(self._gateway.asgi())
        finally:
            await self._gateway.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    started = Running(tmp_path_factory.mktemp("running"))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def served(running: Running) -> Served:
    return running


def test_a_stage_is_moved_in_the_running_gateway(
    page: Page, enter: Callable[..., None], running: Running, watch: Watch
) -> None:
    """Sign in with a real key, move a real slice with a reason, be refused a leap, and find it all in the
    history."""
    watch.provoked.add(422)
    enter(page, key=running.key)
    first = page.locator(".cell:has(.stage-word:text-is('legacy only'))").first
    expect(first).to_be_visible()
    name = first.get_attribute("id")
    first.click()
    page.get_by_role("radio", name="dual write forward").check()
    page.get_by_label("Reason").fill("The mirror may fill")
    page.get_by_role("button", name="Change the stage").click()
    expect(page.locator("dialog .box-good")).to_contain_text("is now at dual write")
    expect(page.locator("dialog .history li").first).to_contain_text("The mirror may fill")
    page.get_by_text("Leave out a stage").click()
    page.get_by_role("radio", name="cloud only forward").check()
    page.get_by_label("Reason").fill("In a hurry")
    page.get_by_role("button", name="Change the stage").click()
    expect(page.locator("#refusal")).to_contain_text("goes step by step")
    expect(page.locator("#reason")).to_have_value("In a hurry")
    page.keyboard.press("Escape")
    expect(page.locator(f"#{name} .stage-word")).to_have_text("dual write")


def test_the_other_pages_of_the_running_gateway_open(
    page: Page, enter: Callable[..., None], running: Running, watch: Watch
) -> None:
    """Without any comparison the differences page says the next step; an unknown record is said to be
    unknown."""
    watch.provoked.add(404)
    enter(page, address="/console/diffs", key=running.key)
    expect(page.locator(".empty")).to_be_visible()
    page.goto("/console/records/cus_unknown")
    expect(page.get_by_role("heading", level=1)).to_contain_text("There is no such record")


def test_the_reference_shows_the_whole_contract(page: Page, watch: Watch) -> None:
    """/docs renders the gateway's own OpenAPI document and asks no other host."""
    # The viewer has a checker of its own for documents, which warns of schemas that OpenAPI 3.1 allows.
    watch.levels = {"error"}
    watch.tried.add(VIEWER_TRIES)
    page.goto("/docs")
    expect(page.get_by_role("heading", name="Twinrun").first).to_be_visible()
    expect(page.get_by_role("button", name="invoices").first).to_be_visible()
    page.wait_for_load_state("networkidle")
