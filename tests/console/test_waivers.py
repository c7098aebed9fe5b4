"""Accepting a difference for a time, in a real browser."""

from __future__ import annotations

import csv
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.console.conftest import Watch
from tests.console.fakes import LOOK_ONLY, FakeGateway

Enter = Callable[..., None]


def test_a_difference_is_accepted_and_ended(page: Page, enter: Enter, gateway: FakeGateway) -> None:
    """From a mismatch to the form, with one of its fields picked, into the list with who and why; ended from there."""
    enter(page)
    page.goto("/console/diffs/dif_01930002")
    page.get_by_role("link", name="Accept for a time").click()
    page.get_by_role("radio", name="tax_id").check()
    page.get_by_role("radio", name="Only this pair of values").check()
    page.get_by_label("Reason").fill("The cloud has no field for it before March")
    page.get_by_label("Owner").fill("tax team")
    page.get_by_role("button", name="Accept").click()
    page.wait_for_url("**/console/waivers?done=waived")
    expect(page.get_by_role("status")).to_contain_text("Accepted")
    made = gateway.waivers.kept[0]
    assert (made.field, made.kind, made.owner, made.created_by) == ("tax_id", "missing", "tax team", "Ada Migration")
    assert made.pair is not None
    assert (made.pair.authority, made.pair.other) == ("NO998877665MVA", None)
    row = page.get_by_role("row").filter(has_text="The cloud has no field for it")
    expect(row).to_contain_text("one pair of values")
    row.get_by_role("button", name="End now").click()
    page.wait_for_url("**/console/waivers?done=revoked")
    expect(page.get_by_role("row").filter(has_text="The cloud has no field for it")).to_have_count(0)
    page.get_by_label("Standing").select_option("revoked")
    page.wait_for_url("**state=revoked**")
    expect(page.get_by_role("row").filter(has_text="The cloud has no field for it")).to_contain_text(
        "revoked"
    )


def test_a_refusal_loses_nothing_that_was_typed(
    page: Page, enter: Enter, watch: Watch, gateway: FakeGateway
) -> None:
    """What is refused is said with its remedy, and the form stands as it was filled in."""
    watch.provoked.add(422)
    enter(page)
    page.goto("/console/diffs/dif_01930002/waive")
    page.get_by_role("radio", name="name").first.check()
    page.get_by_label("Reason").fill("   ")
    page.get_by_label("Owner").fill("somebody else")
    page.get_by_role("button", name="Accept").click()
    expect(page.locator("#refusal")).to_contain_text("must say something")
    expect(page.get_by_label("Owner")).to_have_value("somebody else")
    assert len(gateway.waivers.kept) == 3


def test_a_key_that_may_only_look_ends_nothing(page: Page, enter: Enter) -> None:
    """It sees the waivers and their reasons as text, and no form."""
    enter(page, key=LOOK_ONLY)
    page.goto("/console/waivers?state=all")
    expect(page.locator("main")).to_contain_text("<b>legal</b> forms")
    expect(page.get_by_role("button", name="End now")).to_have_count(0)
    page.goto("/console/diffs/dif_01930002/waive")
    expect(page.locator("main")).to_contain_text("may look, not change")
    expect(page.get_by_role("button", name="Accept")).to_have_count(0)


def test_the_table_says_the_same_as_the_page(page: Page, enter: Enter) -> None:
    """The CSV has a line for each waiver of the view."""
    enter(page)
    page.goto("/console/waivers?state=all")
    expect(page.get_by_role("row")).to_have_count(4)
    answer = page.request.get("/console/waivers.csv?state=all")
    rows = list(csv.DictReader(answer.text().lstrip("\ufeff").splitlines()))
    assert [row["state"] for row in rows] == ["active", "expired", "revoked"]
    assert rows[0]["money"] == "0.05 EUR"
