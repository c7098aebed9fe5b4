"""What stands against a merge, and what it would change, over two records as they may be."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.crosswalk.store import Link
from gateway.ledger.slices import Slice
from gateway.merging import judging
from gateway.merging.pair import Pair, Record
from gateway.routing.stage import Stage, System

BASE = Record(
    id="cus_1",
    region="UK",
    legal_entity="GB01",
    version=3,
    seq=3,
    open_writes=0,
    image={"name": "Quay", "number": "N1"},
    match_key="N1",
    merged_into=None,
    links={},
    waits=0,
    cases=0,
    held="N1",
    tombstones=(),
)


def links(record_id: str, *systems: str) -> dict[str, Link]:
    return {
        system: Link(record_id=record_id, system=system, entity="customer", native_id=f"{system}-{record_id}")
        for system in systems
    }


def pair(
    loser: tuple[str, ...] = ("legacy", "cloud"),
    winner: tuple[str, ...] = ("legacy", "cloud"),
    stage: Stage = Stage.DUAL_WRITE,
    draining: bool = False,
    of_loser: dict[str, Any] | None = None,
    of_winner: dict[str, Any] | None = None,
) -> Pair:
    slice_ = Slice(
        entity="customer", region="UK", stage=stage, authority=System.LEGACY, epoch=1, version=1, compare_sample=0,
        storable=True, draining=draining, note="", updated_at="",
    )  # fmt: skip
    first = msgspec.structs.replace(BASE, links=links("cus_1", *loser), **(of_loser or {}))
    second = {"image": {"name": "Quay", "number": "N2"}, "held": "N2", **(of_winner or {})}
    return Pair(
        slice=slice_,
        loser=first,
        winner=msgspec.structs.replace(BASE, id="cus_2", links=links("cus_2", *winner), **second),
    )


@pytest.mark.parametrize(
    ("changed", "codes"),
    [
        ({}, []),
        ({"of_loser": {"merged_into": "cus_9"}}, ["tombstone"]),
        ({"of_winner": {"merged_into": "cus_9"}}, ["tombstone"]),
        ({"of_winner": {"version": 0}}, ["unconfirmed"]),
        ({"of_loser": {"open_writes": 1}}, ["open_write"]),
        ({"of_winner": {"waits": 1}}, ["open_delivery"]),
        ({"draining": True}, ["draining"]),
        ({"of_loser": {"region": "UK.wave1"}}, ["cohort"]),
        ({"of_winner": {"region": "UK.wave1"}}, ["cohort"]),
        ({"of_winner": {"legal_entity": "GB02"}}, ["legal_entity"]),
        ({"of_loser": {"cases": 2}}, ["case"]),
        ({"of_winner": {"cases": 2}}, []),
    ],
)
def test_each_condition_has_its_name(changed: dict[str, Any], codes: list[str]) -> None:
    """One condition that does not hold is one refusal, by its name."""
    assert [one.code for one in judging.against_merge(pair(**changed), both=True)] == codes


def test_both_at_the_authority_has_to_be_confirmed() -> None:
    """Only where the system that answers holds both; what a mirror holds twice needs no word."""
    assert [one.code for one in judging.against_merge(pair(), both=False)] == ["both_at_authority"]
    assert judging.against_merge(pair(loser=("cloud",)), both=False) == []


@pytest.mark.parametrize(
    ("loser", "winner", "stage", "moved", "document", "told"),
    [
        (("legacy", "cloud"), ("legacy", "cloud"), Stage.DUAL_WRITE, [], "winner", None),
        (("legacy", "cloud"), ("legacy",), Stage.DUAL_WRITE, ["cloud"], "winner", "cloud"),
        (("legacy",), ("cloud",), Stage.DUAL_WRITE, ["legacy"], "loser", "cloud"),
        (("cloud",), ("legacy",), Stage.DUAL_WRITE, ["cloud"], "winner", "cloud"),
        (("cloud",), ("legacy",), Stage.LEGACY_ONLY, ["cloud"], "winner", None),
        (("cloud",), ("legacy",), Stage.LIVE, ["cloud"], "loser", "legacy"),
    ],
)
def test_what_moves(
    loser: tuple[str, ...], winner: tuple[str, ...], stage: Stage, moved: list[str], document: str, told: str | None
) -> None:
    """What only the loser has goes to the winner. What the authority holds is what the record is; the mirror is told
    where it would hold something else."""
    found = judging.of_merge(pair(loser, winner, stage), both=True)
    assert ([*found["links"]["moved"]], found["document"], found["told"]) == (moved, document, told)


def test_number() -> None:
    """The number of the loser is free, unless it is what the one record has then."""
    assert judging.of_merge(pair(), both=True)["number"] == {"value": "N1", "becomes": "released"}
    assert judging.of_merge(pair(("legacy",), ("cloud",)), both=True)["number"]["becomes"] == "kept"
    same = {"image": {"number": "N1"}}
    assert judging.of_merge(pair(of_winner=same), both=True)["number"]["becomes"] == "kept"
    none = {"image": {"name": "Quay"}}
    assert judging.of_merge(pair(of_loser=none), both=True)["number"] == {"value": None, "becomes": "none"}


def test_what_is_signed() -> None:
    """Whatever would be changed is in the hash; how many refer to the loser, which grows with traffic, is not."""
    seen = judging.of_merge(pair(), both=True)
    assert judging.hash_of({**seen, "dependants": {"project": 1}}) == judging.hash_of(seen)
    other = judging.of_merge(pair(of_winner={"seq": 4}), both=True)
    assert judging.hash_of(other) != judging.hash_of(seen)
    assert judging.hash_of(judging.of_merge(pair(), both=False)) != judging.hash_of(seen)


def test_apart() -> None:
    """A record and itself, two kinds, two regions, and two cohorts of one region are no pair."""
    places = {
        "a": ("customer", "UK"), "b": ("project", "UK"), "c": ("customer", "DE"), "d": ("customer", "UK"),
        "e": ("customer", "UK.wave1"), "f": ("customer", "UK.wave1"), "g": ("customer", "UK.wave2"),
    }  # fmt: skip
    assert [one.code for one in judging.apart("a", "a", places)] == ["same"]
    assert [one.code for one in judging.apart("a", "b", places)] == ["entity"]
    assert [one.code for one in judging.apart("a", "c", places)] == ["region"]
    assert judging.apart("a", "d", places) == []
    assert [one.code for one in judging.apart("a", "e", places)] == ["cohort"]
    assert [one.code for one in judging.apart("e", "g", places)] == ["cohort"]
    assert [one.code for one in judging.apart("c", "e", places)] == ["region"]
    assert judging.apart("e", "f", places) == []
