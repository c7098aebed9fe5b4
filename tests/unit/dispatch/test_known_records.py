"""What a process knows of records by heart, and what a merge makes it forget."""

from __future__ import annotations

from gateway.crosswalk.store import Holder, Link
from gateway.dispatch import known_records
from gateway.dispatch.known_records import KnownRecords, Named, merged

LINK = Link(record_id="cus_1", system="legacy", entity="customer", native_id="100")
KEY = ("legacy", "customer", "100")


def test_links_are_kept_both_ways() -> None:
    """A link tells the native id of a record and the record of a native id."""
    known = KnownRecords()
    known.keep(known.turn, [LINK])
    assert known.native["cus_1", "legacy"] == "100"
    assert known.holders[KEY] == Holder(record_id="cus_1", holder="cus_1")
    assert not known.holders[KEY].retired


def test_nothing_of_before_is_kept() -> None:
    """After a merge all is forgotten, and what was read before it is not kept when it comes after."""
    known = KnownRecords()
    before = known.turn
    known.keep(before, [LINK])
    known.keep_named(before, {"cus_1": Named(entity="customer", record_id="cus_1")})
    known.forget(1, {("cus_2", "legacy"): ("100",)})
    known.keep(before, [LINK])
    known.keep_native(before, "legacy", {"cus_1": "100"})
    known.keep_named(before, {"cus_1": Named(entity="customer", record_id="cus_1")})
    assert (known.native, known.holders, known.named) == ({}, {}, {})
    assert known.retired == {("cus_2", "legacy"): ("100",)}
    known.keep(known.turn, holders={KEY: Holder(record_id="cus_2", holder="cus_1")})
    assert known.holders[KEY].retired


def test_what_a_repair_takes_back() -> None:
    """A link that is no more is not known by any id, that of a tombstone of its record either, and what was read before
    it was taken back is not kept when it comes after. Nothing taken back is nothing forgotten."""
    known = KnownRecords()
    before = known.turn
    known.keep(before, [LINK])
    known.keep_native(before, "legacy", {"cus_0": "100"})
    known.take_back([])
    assert known.native == {("cus_1", "legacy"): "100", ("cus_0", "legacy"): "100"}
    known.take_back([LINK])
    known.keep(before, [LINK])
    assert (known.native, known.holders) == ({}, {})


def test_room_is_bounded() -> None:
    """The oldest are dropped where there are too many."""
    known = KnownRecords()
    most = known_records.KNOWN_LINKS
    natives = {f"cus_{number}": str(number) for number in range(most + 3)}
    known.keep_native(known.turn, "legacy", natives)
    assert len(known.native) == most
    assert ("cus_0", "legacy") not in known.native


def test_what_is_said_of_a_tombstone() -> None:
    """Where the record is that is to be used instead."""
    said = merged("cus_2")
    assert (said.facts["merged_into"], said.facts["location"], said.retryable) == ("cus_2", "cus_2", False)
