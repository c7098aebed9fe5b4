"""What an installation adds to its profile: its numbers, for each legal entity, in the record and in its
rows."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.errors import Misconfigured, Rejected
from adapters.installation import Installation
from adapters.profile import Profile, parse

PROFILE = """
protocol = "jsonrpc"
product = "example"
version = "1"
source = "made up for a test, 2026-11"
grade = "simulated"
[entities.customer]
resource = "customer"
key = "id"
capabilities = ["fetch"]
where = { kind = "customer" }
fields = { name = "name" }
[entities.invoice]
resource = "invoice"
key = "id"
capabilities = ["create"]
installed = ["account", "lines[].account"]
fields = { legal_entity = "company", number = "number" }
"""
TABLES = {
    "journal": 1,
    "by_legal_entity": {
        "DE01": {"account": 5, "lines[].account": 6},
        "US01": {"account": 12, "lines[].account": 13},
    },
}


@pytest.fixture
def profile() -> Profile:
    return parse(PROFILE, file="test")


def installed(profile: Profile, invoice: dict[str, Any] = TABLES, **more: Any) -> Installation:
    return Installation("legacy", profile, {"database": "erp", "constants": {"invoice": invoice}, **more})


@pytest.mark.parametrize(("legal_entity", "account", "revenue"), [("DE01", 5, 6), ("US01", 12, 13)])
def test_constants_follow_the_legal_entity(
    profile: Profile, legal_entity: str, account: int, revenue: int
) -> None:
    """Each legal entity has its accounts; what is the same for all is given once."""
    native: dict[str, Any] = {"lines": [{"x": 1}, {"x": 2}]}
    installed(profile).complete("invoice", native, {"legal_entity": legal_entity}, creating=True)
    assert native == {
        "journal": 1,
        "account": account,
        "lines": [{"x": 1, "account": revenue}, {"x": 2, "account": revenue}],
    }


def test_an_update_gets_what_belongs_to_rows_only(profile: Profile) -> None:
    """An update brings new rows, which need their constants; the record has had its own all along."""
    native: dict[str, Any] = {"lines": [{}]}
    installed(profile).complete("invoice", native, {"legal_entity": "DE01"}, creating=False)
    assert native == {"lines": [{"account": 6}]}


def test_where_nothing_is_put_no_legal_entity_is_asked_for(profile: Profile) -> None:
    """An update without rows, and an entity without constants, pass as they are."""
    native: dict[str, Any] = {"note": "x"}
    installed(profile).complete("invoice", native, {}, creating=False)
    installed(profile).complete("customer", native, {}, creating=True)
    assert native == {"note": "x"}


@pytest.mark.parametrize("fields", [{"legal_entity": "XX99"}, {"legal_entity": None}, {}], ids=str)
def test_an_unknown_legal_entity_is_refused(profile: Profile, fields: dict[str, Any]) -> None:
    """A record is not booked to somebody else's accounts: it is refused, with the field and what is
    allowed."""
    with pytest.raises(Rejected, match="none of DE01, US01") as caught:
        installed(profile).complete("invoice", {}, fields, creating=True)
    assert (caught.value.code, caught.value.field) == ("legal_entity_unknown", "legal_entity")


def test_where_is_added_to_the_profiles(profile: Profile) -> None:
    """The settings narrow a search further than the profile does, and undo nothing of it."""
    made = installed(profile, where={"customer": {"category": 1}})
    assert made.profile.entities["customer"].where == {"kind": "customer", "category": 1}
    assert profile.entities["customer"].where == {"kind": "customer"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({}, "needs 'account' in options.constants.invoice", id="nothing given"),
        pytest.param(
            {"constants": {"invoice": {"account": 5}}}, "needs 'lines\\[\\].account'", id="one lacks"
        ),
        pytest.param(
            {
                "constants": {
                    "invoice": {"account": 1, "by_legal_entity": {"DE01": {"lines[].account": 6}, "US01": {}}}
                }
            },
            "for US01",
            id="one legal entity lacks it",
        ),
        pytest.param({"constants": {"voice": {}}}, "no such entity", id="unknown entity"),
        pytest.param({"where": {"voice": {}}}, "options.where.voice", id="unknown entity in where"),
        pytest.param({"constants": 7}, "options of the settings", id="no table"),
        pytest.param(
            {"constants": {"invoice": {"by_legal_entity": 7}}}, "by_legal_entity", id="no table inside"
        ),
    ],
)
def test_settings_that_lack_something_stop_the_start(
    profile: Profile, options: dict[str, Any], says: str
) -> None:
    """What the profile asks for is missed at the start, not at the first invoice."""
    with pytest.raises(Misconfigured, match=says):
        Installation("legacy", profile, options)
