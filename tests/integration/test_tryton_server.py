"""The real ERP of the tests as a process: what the fixtures promise to those who use them."""

from __future__ import annotations

import httpx
import pytest

from tests.systems.tryton60.look import Refused
from tests.systems.tryton60.server import Tryton

pytestmark = pytest.mark.server


def test_the_seeded_firm_is_there(tryton: Tryton) -> None:
    """Each legal entity is a company with its own currency."""
    with tryton.look() as look:
        companies = look.rows("company.company", [], ["party.code", "currency.code"])
    found = {row["party."]["code"]: row["currency."]["code"] for row in companies}
    assert found == {"DE01": "EUR", "US01": "USD"}


def test_a_killed_server_comes_back_with_its_data(tryton_alone: Tryton) -> None:
    """SIGKILL loses the process and nothing that was committed; the address stays the same."""
    tryton_alone.start()
    address = tryton_alone.base_url
    with tryton_alone.look() as look:
        look.call("model.party.party.create", [{"name": "Kept", "code": "KEPT-1"}])
    tryton_alone.kill()
    with pytest.raises(httpx.ConnectError):
        tryton_alone.look()
    tryton_alone.start()
    assert tryton_alone.base_url == address
    with tryton_alone.look() as look:
        assert [row["name"] for row in look.rows("party.party", [["code", "=", "KEPT-1"]], ["name"])] == [
            "Kept"
        ]


def test_each_run_has_its_own_database(tryton: Tryton, tryton_alone: Tryton) -> None:
    """What one run writes, another run on the same machine does not see."""
    tryton_alone.start()
    assert tryton_alone.port != tryton.port
    with tryton_alone.look() as look:
        look.call("model.party.party.create", [{"name": "Elsewhere", "code": "ELSE-1"}])
    with tryton.look() as look:
        assert look.rows("party.party", [["code", "=", "ELSE-1"]], ["name"]) == []


def test_a_refusal_is_seen_from_outside(tryton: Tryton) -> None:
    """The outside look reports the ERP's own words, so that a test can hold ours against them."""
    with tryton.look() as look:
        look.call("model.party.party.create", [{"name": "One", "code": "TWICE"}])
        with pytest.raises(Refused, match="UserError") as refusal:
            look.call("model.party.party.create", [{"name": "Two", "code": "TWICE"}])
    assert refusal.value.args[1][0] == "The code on party must be unique."
