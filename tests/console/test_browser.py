"""The console in a real browser: what a person does with it, and that the browser has nothing to complain
about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from gateway.errors import StoreUnavailable
from gateway.routing.stage import Stage
from tests.console.conftest import VIEWER_TRIES, Served, Watch
from tests.console.fakes import FULL, LOOK_ONLY, FakeGateway

pytestmark = pytest.mark.server

Enter = Callable[..., None]
PANEL = "dialog[open]"


def open_panel(page: Page, entity: str, region: str) -> None:
    page.locator(f"#slice-{entity}-{region}").click()
    expect(page.locator(f"{PANEL} .history")).to_be_visible()


def test_a_wrong_key_is_told_and_a_right_one_opens(page: Page, watch: Watch) -> None:
    """From the door to the page that was asked for, with a word on what was wrong in between."""
    watch.provoked.add(401)
    page.goto("/console/diffs?entity=customer")
    page.get_by_label("API key").fill("twk_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("A valid API key is needed")
    page.get_by_label("API key").fill("twk_fullfull_" + "a" * 43)
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/diffs?entity=customer")
    expect(page.get_by_role("heading", name="Differences", exact=True)).to_be_visible()


def test_a_stage_is_changed_with_a_reason(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """Cell, stage, reason, done: the matrix behind shows it without a reload, and the focus is back on the
    cell."""
    enter(page)
    page.evaluate("window.sameDocument = true")
    open_panel(page, "expense", "AMER")
    page.get_by_role("radio", name="shadow forward").check()
    page.get_by_label("Reason").fill("Mirror clean for two weeks")
    page.get_by_role("button", name="Change the stage").click()
    expect(page.locator(f"{PANEL} .box-good")).to_contain_text("is now at shadow")
    expect(page.locator(f"{PANEL} .history li").first).to_contain_text("Mirror clean for two weeks")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()
    expect(page.locator("#slice-expense-AMER .stage-word")).to_have_text("shadow")
    expect(page.locator("#slice-expense-AMER")).to_be_focused()
    assert page.evaluate("window.sameDocument") is True
    assert gateway.slices.known["expense", "AMER"].stage is Stage.SHADOW


def test_a_refusal_stands_in_the_panel_and_can_be_overridden(
    page: Page, enter: Enter, gateway: FakeGateway, watch: Watch
) -> None:
    """The gate and its figure are shown, the reason stays as typed, and an override with a reason goes
    through."""
    watch.provoked.add(422)
    enter(page)
    open_panel(page, "time_entry", "EMEA")
    page.get_by_role("radio", name="live forward").check()
    page.get_by_label("Reason").fill("Finance agrees")
    page.get_by_role("button", name="Change the stage").click()
    expect(page.locator("#refusal")).to_contain_text("7 deliveries of the slice that are not settled")
    expect(page.locator("#reason")).to_have_value("Finance agrees")
    expect(page.get_by_role("radio", name="live forward")).to_be_checked()
    page.get_by_label("Override what stands against it").check()
    page.get_by_label("Why it may be overridden").fill("They are rows of a test")
    page.get_by_role("button", name="Change the stage").click()
    expect(page.locator(f"{PANEL} .box-good")).to_contain_text("is now at live")
    assert gateway.switchover.calls[-1]["override"] is True


def test_what_nobody_does_alone_leads_to_a_switch(
    page: Page, enter: Enter, gateway: FakeGateway, watch: Watch
) -> None:
    """Where a move of authority needs two persons the panel says so, offers no override, which would not help, and
    leads to where it is asked for, with the move picked."""
    watch.provoked.add(422)
    gateway.switchover.two_person = True
    enter(page)
    open_panel(page, "project", "APAC")
    page.get_by_role("radio", name="live forward").check()
    page.get_by_label("Reason").fill("A week without a mismatch")
    page.get_by_role("button", name="Change the stage").click()
    expect(page.locator("#refusal")).to_contain_text("needs a second person")
    expect(page.get_by_label("Override what stands against it")).to_have_count(0)
    page.locator("#refusal").get_by_role("link", name="Ask for a switch").click()
    page.wait_for_url("**/console/switches/new?entity=project&region=APAC&stage=live")
    expect(page.get_by_role("radio", name="Project in APAC")).to_be_checked()


def test_how_many_reads_are_compared_is_changed_with_the_stage(
    page: Page, enter: Enter, gateway: FakeGateway, watch: Watch
) -> None:
    """The number stands in the form as it is; one that no rule can have is refused, and stays as typed."""
    watch.provoked.add(422)
    slices = gateway.slices.known
    slices["expense", "AMER"] = msgspec.structs.replace(slices["expense", "AMER"], compare_sample=10)
    enter(page)
    open_panel(page, "expense", "AMER")
    page.get_by_role("radio", name="shadow forward").check()
    page.get_by_label("Reason").fill("Every read is to be compared")
    sample = page.get_by_label("Compare one read in")
    expect(sample).to_have_value("10")
    sample.evaluate("box => { box.type = 'text'; box.value = '-1'; }")
    page.get_by_role("button", name="Change the stage").click()
    expect(page.locator("#refusal")).to_contain_text("one read in 1 to 1,000,000 is compared")
    page.get_by_label("Compare one read in").fill("1")
    page.get_by_role("button", name="Change the stage").click()
    expect(page.locator(f"{PANEL} .box-good")).to_contain_text("is now at shadow")
    assert slices["expense", "AMER"].compare_sample == 1


def test_a_lost_answer_loses_nothing_that_was_typed(
    page: Page, enter: Enter, context: BrowserContext, watch: Watch
) -> None:
    """When no answer comes back the form stands as typed and says that nobody knows."""
    enter(page)
    open_panel(page, "expense", "AMER")
    page.get_by_role("radio", name="shadow forward").check()
    page.get_by_label("Reason").fill("Typed with care")
    context.route("**/console/slices/**", lambda route: route.abort())
    page.get_by_role("button", name="Change the stage").click()
    expect(page.locator("[data-unheard]")).to_be_visible()
    expect(page.locator("#reason")).to_have_value("Typed with care")
    watch.complaints[:] = [
        said for said in watch.complaints if "ERR_FAILED" not in said and "fetch" not in said
    ]


def test_figures_refresh_by_themselves_and_the_focus_stays(
    page: Page, enter: Enter, gateway: FakeGateway
) -> None:
    """A new mismatch shows within seconds; the cell that has the focus keeps it, and an open panel keeps
    its text."""
    enter(page)
    page.locator("#slice-project-UK").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#slice-resource-UK")).to_be_focused()
    gateway.backlog.figures["resource", "UK"] = {
        "open": 41, "parked": 2, "unknown": 0, "oldest_age_s": 9.0, "lag_p99_s": 1.0,
    }  # fmt: skip
    gateway.clock.at = gateway.clock.at.replace(minute=31)
    expect(page.locator("#slice-resource-UK")).to_contain_text("41 open, oldest 9.0 s")
    expect(page.locator("#slice-resource-UK")).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_label("Reason").fill("half a sent")
    gateway.backlog.figures["resource", "UK"] = {**gateway.backlog.figures["resource", "UK"], "open": 42}
    gateway.clock.at = gateway.clock.at.replace(minute=32)
    expect(page.locator("#slice-resource-UK")).to_contain_text("42 open")
    expect(page.locator("#reason")).to_have_value("half a sent")
    expect(page.locator("#reason")).to_be_focused()


def test_a_lost_connection_is_said_and_heals(
    page: Page, enter: Enter, context: BrowserContext, watch: Watch
) -> None:
    """Old figures are never shown as live; when the connection is back, so is the light."""
    enter(page)
    context.route("**/console/matrix", lambda route: route.abort())
    expect(page.locator("#live")).to_have_text("not live")
    expect(page.locator("#lost")).to_be_visible()
    expect(page.locator("#slice-project-UK")).to_be_visible()
    context.unroute("**/console/matrix")
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator("#lost")).to_be_hidden()
    watch.complaints[:] = [
        said for said in watch.complaints if "ERR_FAILED" not in said and "fetch" not in said
    ]


def test_a_store_that_is_away_leaves_the_figures_standing(
    page: Page, enter: Enter, gateway: FakeGateway, watch: Watch
) -> None:
    """An error is never swapped in where the matrix stands."""
    watch.provoked.add(503)
    enter(page)
    whole = gateway.backlog.of_slices

    async def away() -> Mapping[Any, Any]:
        raise StoreUnavailable

    gateway.backlog.of_slices = away  # type: ignore[method-assign]
    gateway.clock.at = gateway.clock.at.replace(minute=31)
    expect(page.locator("#live")).to_have_text("not live")
    expect(page.locator("#slice-project-UK")).to_be_visible()
    gateway.backlog.of_slices = whole  # type: ignore[method-assign]
    expect(page.locator("#live")).to_have_text("live")


def test_an_ended_session_leads_to_the_door_and_back(
    page: Page, enter: Enter, gateway: FakeGateway, watch: Watch
) -> None:
    """The next poll of a session that has ended opens the door, which leads back to the matrix."""
    watch.provoked.add(401)
    enter(page)
    gateway.clock.at = gateway.clock.at.replace(hour=18)
    page.wait_for_url("**/console/login?**")
    expect(page.get_by_role("status")).to_contain_text("The session has ended")
    page.get_by_label("API key").fill(FULL)
    page.keyboard.press("Enter")
    expect(page.locator("#slice-project-UK")).to_be_visible()


def test_the_differences_page_narrows_and_leads_on(page: Page, enter: Enter) -> None:
    """From a cell's mismatches over a field to one finding and its record, and back into the filters."""
    enter(page)
    open_panel(page, "customer", "AMER")
    page.get_by_role("link", name="1, look at them").click()
    page.wait_for_url("**/console/diffs?entity=customer&region=AMER&verdict=mismatch")
    page.locator(".tree").get_by_role("link", name="city", exact=True).click()
    page.wait_for_url("**field=billing_address.city**")
    expect(page.locator(".finding")).to_have_count(1)
    expect(page.locator(".finding mark").first).to_be_visible()
    page.get_by_label("Entity").select_option("invoice")
    page.wait_for_url("**entity=invoice**")
    page.goto("/console/diffs?entity=customer")
    expect(page.locator(".finding")).to_have_count(2)
    page.get_by_label("Noise").select_option("hidden")
    page.wait_for_url("**noise=hidden**")
    expect(page.locator(".finding")).to_have_count(1)
    page.goto("/console/diffs/dif_01930001")
    page.get_by_role("link", name="The record's journey").click()
    expect(page.locator(".journey li")).to_have_count(4)


def test_hostile_text_of_an_erp_does_not_run(page: Page, enter: Enter) -> None:
    """A script in a project's name is text in the browser as well."""
    ran: list[str] = []
    page.on("dialog", lambda dialog: (ran.append(dialog.message), dialog.dismiss()))
    enter(page)
    page.goto("/console/diffs/dif_01930003")
    expect(page.locator(".sides")).to_contain_text("<script>alert(1)</script>")
    assert ran == []
    assert page.locator(".sides script, .sides img").count() == 0


def test_it_can_be_used_without_a_mouse(page: Page, enter: Enter) -> None:
    """Slash finds a record, arrows walk the matrix, Enter opens, Escape closes, and the focus is never
    lost."""
    enter(page)
    page.keyboard.press("/")
    expect(page.locator("#find")).to_be_focused()
    page.keyboard.type("inv_1")
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/records/inv_1")
    page.goto("/console")
    page.locator("#slice-customer-AMER").focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    expect(page.locator("#slice-resource-AMER")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(f"{PANEL} #panel-head")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#slice-resource-AMER")).to_be_focused()


def test_the_theme_and_the_zone_are_kept(page: Page, enter: Enter) -> None:
    """A choice of theme or zone holds on the next page."""
    enter(page)
    page.get_by_role("button", name="Theme: system").click()
    page.get_by_role("button", name="Theme: light").click()
    page.get_by_role("button", name="UTC").click()
    page.goto("/console/diffs")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    expect(page.get_by_role("button", name="Local")).to_be_visible()


def test_paper_is_white_in_either_theme(page: Page, enter: Enter) -> None:
    """Printed from the dark theme, text is dark on white, and what only works on a screen is left out."""
    page.emulate_media(color_scheme="dark")
    enter(page, address="/console/diffs")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 25)"
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('.class')).color") == "rgb(63, 77, 99)"
    expect(page.locator(".filters")).to_be_hidden()
    expect(page.locator(".finding").first).to_be_visible()


def test_it_works_without_script(context: BrowserContext, served: Served, enter: Enter) -> None:
    """Sign in, open a slice and move it on plain pages and forms."""
    browser = context.browser
    assert browser is not None
    plain = browser.new_context(base_url=served.address, java_script_enabled=False)
    page = plain.new_page()
    enter(page)
    page.locator("#slice-expense-AMER").click()
    page.wait_for_url("**/console/slices/expense/AMER")
    page.get_by_role("radio", name="shadow forward").check()
    page.get_by_label("Reason").fill("No script here")
    page.get_by_role("button", name="Change the stage").click()
    page.wait_for_url("**?done=1")
    expect(page.locator(".box-good")).to_contain_text("is now at shadow")
    plain.close()


def test_the_api_reference_opens_and_asks_no_other_host(page: Page, watch: Watch) -> None:
    """/docs shows the contract from files of our own; the watch fails on any other host."""
    watch.tried.add(VIEWER_TRIES)
    page.goto("/docs")
    expect(page.get_by_role("heading", name="One invoice")).to_be_visible()
    page.wait_for_load_state("networkidle")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "address",
    [
        "/console/login",
        "/console",
        "/console#panel",
        "/console#refused",
        "/console/slices/invoice/EMEA",
        "/console/diffs",
        "/console/diffs?entity=payment&region=AMER",
        "/console/diffs?noise=hidden",
        "/console/diffs/dif_01930002",
        "/console/diffs/dif_01930002/waive",
        "/console/waivers",
        "/console/rules?to=project/APAC=live&to=customer/AMER=legacy_only",
        "/console/scheduled",
        "/console/readiness",
        "/console/readiness/project/UK",
        "/console/switches",
        "/console/switches/new",
        "/console/switches/swi_01930004",
        "/console/switches/swi_01930003",
        "/console/waivers?state=all",
        "/console/reconciliations",
        "/console/reconciliations/rcn_1",
        "/console/reconciliations/rcn_1/records?term=unexplained&measure=total&currency=EUR",
        "/console/repairs/rpr_0198f0c2-9b41-7c10-8d22-000000000901",
        "/console/repairs/rpr_0198f0c2-9b41-7c10-8d22-000000000902",
        "/console/repairs/rpr_0198f0c2-9b41-7c10-8d22-000000000901/records",
        "/console/backfills",
        "/console/backfills/bfl_0198f0c2-9b41-7c10-8d22-000000000001",
        "/console/backfills/bfl_0198f0c2-9b41-7c10-8d22-000000000003",
        "/console/backfills/bfl_0198f0c2-9b41-7c10-8d22-000000000001/records",
        "/console/records/inv_1",
        "/console/records/unknown",
    ],
)
def test_nothing_serious_stands_in_anybodys_way(
    page: Page, enter: Enter, axe: str, watch: Watch, theme: str, address: str
) -> None:
    """No page has a serious fault of accessibility, contrast included, in either theme."""
    watch.provoked |= {404, 422}
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
    if address != "/console/login":
        enter(page)
    page.goto(address.partition("#")[0])
    if "#" in address:
        open_panel(page, "time_entry", "EMEA")
    if address.endswith("#refused"):
        page.get_by_role("radio", name="live forward").check()
        page.get_by_label("Reason").fill("x")
        page.get_by_role("button", name="Change the stage").click()
        expect(page.locator("#refusal")).to_be_visible()
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    serious = [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical", "moderate")
        for node in one["nodes"]
    ]
    assert serious == []


def test_a_key_that_may_only_look_finds_no_form(page: Page, enter: Enter) -> None:
    """The panel shows everything and offers nothing."""
    enter(page, key=LOOK_ONLY)
    open_panel(page, "invoice", "EMEA")
    expect(page.get_by_role("button", name="Change the stage")).to_have_count(0)
    expect(page.locator(PANEL)).to_contain_text("may look, not change")
