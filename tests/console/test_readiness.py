"""Readiness in a real browser: what blocks a slice, how it went by day, and the same figures on paper."""

from __future__ import annotations

import csv
from collections.abc import Callable

from playwright.sync_api import Page, expect

from gateway.routing.stage import Stage
from tests.console.conftest import Watch
from tests.console.fakes import LOOK_ONLY, UK_ONLY, FakeGateway

Enter = Callable[..., None]


def test_from_the_list_to_what_blocks(page: Page, enter: Enter) -> None:
    """Every slice stands with its verdict, in the order of the entities; one click shows its gates with measure and
    threshold, kinds that were never compared, and the way from there to a switch. What others wrote is text."""
    enter(page)
    page.get_by_role("link", name="Readiness").click()
    heads = page.get_by_role("rowheader")
    expect(heads).to_have_text(["Customer in AMER", "Customer in UK", "Project in UK"])
    page.get_by_role("link", name="Project in UK").click()
    gates = page.get_by_role("region", name="Gates", exact=True).first
    expect(gates).to_contain_text("12,040, needs 100 in 7 days")
    expect(gates).to_contain_text("<i>1080.00</i> GBP")
    expect(page.get_by_role("row").filter(has_text="SEK")).to_contain_text("never compared")
    page.get_by_role("link", name="Ask for a switch").click()
    page.wait_for_url("**/console/switches/new?entity=project&region=UK")


def test_the_chart_has_its_table(page: Page, enter: Enter) -> None:
    """Each day is a bar, one on which something parted shows it however little it was, and the table says the same."""
    enter(page)
    page.goto("/console/readiness/project/UK")
    expect(page.locator(".trend .agreed")).to_have_count(23)
    heights = page.locator(".trend .parted").evaluate_all(
        "all => all.map(one => Number(one.getAttribute('height')))"
    )
    assert [height > 0 for height in heights] == [number == 22 for number in range(1, 24)]
    assert max(heights) >= 3
    page.get_by_text("The same as a table").click()
    expect(page.get_by_role("row").filter(has_text="2026-11-22")).to_contain_text("2,200")


def test_the_way_back_stands_on_the_page(page: Page, enter: Enter) -> None:
    """A slice that has moved says whether it can go back, and what is not there yet."""
    enter(page)
    page.goto("/console/readiness/customer/AMER")
    back = page.get_by_role("region", name="The way back")
    expect(back).to_contain_text("It can go back now")
    expect(back).to_contain_text("writes not yet there")


def test_the_same_on_paper(page: Page, enter: Enter) -> None:
    """The CSV has a line a gate of what this key may see; the PDF is one; both leave as files."""
    enter(page, key=UK_ONLY)
    page.goto("/console/readiness")
    expect(page.get_by_role("rowheader")).to_have_text(["Customer in UK", "Project in UK"])
    rows = list(csv.DictReader(page.request.get("/console/readiness.csv").text().splitlines()))
    assert {(row["entity"], row["region"]) for row in rows} == {("customer", "UK"), ("project", "UK")}
    assert len(rows) == 6
    printed = page.request.get("/console/readiness.pdf?entity=project")
    assert printed.body().startswith(b"%PDF-")
    assert "attachment" in printed.headers["content-disposition"]
    book = page.request.get("/console/readiness.xlsx")
    assert book.body().startswith(b"PK")
    assert ".xlsx" in book.headers["content-disposition"]


def test_a_report_is_signed(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """Whoever has not moved the slice signs the hash that stands beside the button, once; who has signed stands on the
    page and in the list."""
    enter(page, key=UK_ONLY)
    page.goto("/console/readiness/project/UK")
    signing = page.get_by_role("region", name="Signatures")
    expect(signing).to_contain_text("Nobody answers for this evidence yet")
    expect(signing.locator(".hash")).to_have_text("b" * 64)
    signing.get_by_role("button", name="Sign this evidence").click()
    page.wait_for_url("**/console/readiness/project/UK#sign-head")
    expect(signing).to_contain_text("signed by UK desk, 2026-11-23 09:31:00")
    expect(signing.get_by_role("button")).to_have_count(0)
    (there,) = [one for one in gateway.readiness.reports if (one.entity, one.region) == ("project", "UK")]
    assert [one.signed_by for one in there.signatures] == ["UK desk"]
    page.goto("/console/readiness")
    expect(page.get_by_role("row").filter(has_text="Project in UK")).to_contain_text("UK desk")


def test_evidence_that_has_moved_is_not_signed(
    page: Page, enter: Enter, gateway: FakeGateway, watch: Watch
) -> None:
    """What the person looked at is what is signed: when it has changed since nothing is, and the page shows it anew."""
    watch.provoked.add(409)
    enter(page, key=UK_ONLY)
    page.goto("/console/readiness/project/UK")
    (there,) = [one for one in gateway.readiness.reports if (one.entity, one.region) == ("project", "UK")]
    gateway.readiness.put(there, evidence_hash="c" * 64)
    page.get_by_role("button", name="Sign this evidence").click()
    expect(page.locator("#refusal")).to_contain_text("Look at it again, then decide")
    signing = page.get_by_role("region", name="Signatures")
    expect(signing.locator(".hash")).to_have_text("c" * 64)
    expect(signing).to_contain_text("Nobody answers for this evidence yet")


def test_who_may_not_sign_finds_no_button(page: Page, enter: Enter) -> None:
    """Neither the one who has brought the slice where it is, nor a key that may not approve; each is told why."""
    for key, words in (({}, "You have brought this slice where it is"), ({"key": LOOK_ONLY}, "admin:approve")):
        page.context.clear_cookies()
        enter(page, address="/console/readiness/project/UK", **key)
        signing = page.get_by_role("region", name="Signatures")
        expect(signing).to_contain_text(words)
        expect(signing.get_by_role("button")).to_have_count(0)


def test_the_next_move_is_one_click_away(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """A slice before a move that needs no switch leads to its panel, and one that has gone live to the way back, with
    that move picked."""
    (there,) = [one for one in gateway.readiness.reports if (one.entity, one.region) == ("customer", "UK")]
    gateway.readiness.put(there, stage=Stage.DUAL_WRITE, next=Stage.SHADOW)
    enter(page)
    page.goto("/console/readiness/customer/UK")
    page.get_by_role("link", name="Change the stage").click()
    page.wait_for_url("**/console/slices/customer/UK")
    page.goto("/console/readiness/customer/AMER")
    page.get_by_role("link", name="Ask for the way back to shadow").click()
    expect(page.get_by_role("radio", name="Customer in AMER live → shadow back moves")).to_be_checked()


def test_the_list_is_narrowed(page: Page, enter: Enter) -> None:
    """By entity, region and verdict, in the address; the files hold what the page shows."""
    enter(page, "/console/readiness")
    page.get_by_label("Region").select_option("UK")
    page.wait_for_url("**/console/readiness?region=UK")
    expect(page.get_by_role("rowheader")).to_have_text(["Customer in UK", "Project in UK"])
    page.get_by_label("Verdict").select_option("fail")
    page.wait_for_url("**/console/readiness?region=UK&verdict=fail")
    expect(page.get_by_role("rowheader")).to_have_text(["Project in UK"])
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows = csv.DictReader(download.value.path().read_text("utf-8").splitlines())
    assert {(row["entity"], row["region"]) for row in rows} == {("project", "UK")}
    page.get_by_label("Verdict").select_option("pass")
    expect(page.locator(".empty")).to_contain_text("No slice fits")
    page.get_by_role("link", name="Clear", exact=True).click()
    expect(page.get_by_role("rowheader")).to_have_count(3)


def test_the_guard_of_a_slice(page: Page, enter: Enter) -> None:
    """A slice that has a guard shows what it watches, how near it is to going back, what it has done and until when it
    rests; one that has none shows none."""
    enter(page)
    page.goto("/console/readiness/project/UK")
    guard = page.get_by_role("region", name="Its guard")
    expect(guard).to_contain_text("2 of 3, 10 min each")
    expect(guard).to_contain_text("Records in which money parts: 1")
    expect(guard).to_contain_text("it asks for a switch back, which a person approves")
    expect(guard.get_by_role("link", name="the switch back")).to_have_attribute(
        "href", "/console/switches/swi_01930002"
    )
    page.goto("/console/readiness/customer/UK")
    expect(page.get_by_role("region", name="Its guard")).to_have_count(0)
