"""RULES for profiles, and that each of them can fail."""

from __future__ import annotations

import msgspec
import pytest

from adapters.check import RULES, check
from adapters.contract import Capability, Idempotency
from adapters.profile import EntityProfile, Profile, load, names


@pytest.mark.parametrize("name", names())
def test_every_profile_that_ships_is_judged_by_every_rule(name: str) -> None:
    """No rule is silent, and what is to do is named."""
    found = check(load(name))
    assert [one.rule for one in found] == [rule.name for rule in RULES]
    assert all(bool(one.missing) == (one.standing == "todo") for one in found)


@pytest.mark.parametrize("name", names())
def test_no_profile_ships_that_could_double_a_write(name: str) -> None:
    """Conditional updates may be out of a product's reach; to find our own write again may not."""
    standing = {one.rule: one.standing for one in check(load(name))}
    assert standing["marked"] == standing["found again"] == standing["not doubled"] == "done"


def _with(**changes: object) -> Profile:
    """The simulated cloud ERP, with one entity spoilt."""
    profile = load("sandbox_cloud")
    spoilt: EntityProfile = msgspec.structs.replace(profile.entities["customer"], **changes)
    return msgspec.structs.replace(profile, entities={**profile.entities, "customer": spoilt})


WRITING = frozenset({Capability.FETCH, Capability.SEARCH, Capability.CREATE, Capability.UPDATE})
SPOILT = [
    pytest.param("marked", {"marker": None, "external_id": None}, id="no marker"),
    pytest.param("found again", {"capabilities": WRITING}, id="no find"),
    pytest.param("not doubled", {"idempotency": Idempotency.E_NOTHING}, id="class E"),
    pytest.param("conditional", {"conditional": False}, id="unconditional"),
    pytest.param("lifecycle", {"capabilities": WRITING}, id="no transition"),
    pytest.param("searchable", {"filters": []}, id="no filters"),
    pytest.param("change stamps", {"modified": None}, id="no stamp"),
]


@pytest.mark.parametrize(("rule", "changes"), SPOILT)
def test_a_rule_names_the_entity_that_breaks_it(rule: str, changes: dict[str, object]) -> None:
    """Each rule can fail, and says where."""
    (found,) = [one for one in check(_with(**changes)) if one.rule == rule]
    assert found.standing == "todo"
    assert [one.split(":")[0] for one in found.missing] == ["customer"]


def test_a_source_without_a_date_is_to_do() -> None:
    """A fact that nobody can look up again is a rumour."""
    profile = msgspec.structs.replace(load("sandbox_cloud"), source="somebody said so")
    assert check(profile)[0].standing == "todo"


def test_a_product_that_is_only_read_is_exempt() -> None:
    """Rules about writes say nothing of a product that is never written."""
    profile = load("sandbox_cloud")
    reading = {
        name: msgspec.structs.replace(one, capabilities=frozenset({Capability.FETCH, Capability.SEARCH}))
        for name, one in profile.entities.items()
    }
    standing = {one.rule: one.standing for one in check(msgspec.structs.replace(profile, entities=reading))}
    assert standing["not doubled"] == standing["conditional"] == "exempt"
    assert standing["searchable"] == "done"
