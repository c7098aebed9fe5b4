"""What a comparison comes to. Pure: the words, the fingerprint, and the table of what a second look decides.

A first inequality is only *suspected*. It is a *mismatch* when a later look finds the same differences on
sides that did not change in between, or when an authority that answers in two ways has in no look shown what the
other side has; and *late* when it is gone. A side that does not show our last write is given time first. Sides that
keep changing end as *unverifiable*, as does whatever could not be looked at: too little evidence is never agreement.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from gateway.compare.differ import NOISE
from gateway.compare.difference import Difference, Diffs


class Verdict(StrEnum):
    MATCH = "match"
    EXPLAINED = "explained"  # they part, and a declared, known reason accounts for all of it
    LATE = "late"  # they parted, and were equal once the mirror had caught up
    MISMATCH = "mismatch"  # they part, and it lasts
    UNVERIFIABLE = "unverifiable"  # nobody can say


class Why(StrEnum):
    """Why something is unverifiable."""

    NO_ANSWER = "no_answer"  # a side did not answer, several times
    NO_RECORD = "no_record"  # neither side has a record to compare
    NOTHING_COMPARED = "nothing_compared"  # no field was looked at
    UNSTABLE = "unstable"  # the sides changed between every two looks
    COMPARISON_FAILED = "comparison_failed"  # the comparison itself broke


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What one look saw: the differences and the two sides, both as keyed hashes."""

    fingerprint: str
    sides: str
    stood: int = 0  #: how many later looks saw the same


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison has come to an end."""

    verdict: Verdict
    why: Why | None = None


class LookAgain(msgspec.Struct, frozen=True, kw_only=True):
    """It is only suspected; look once more, and hold it against ``sight``."""

    sight: Sight
    changes: int


def at_first_sight(diffs: Diffs) -> Settled | None:
    """The verdict of a first look, or None: something parts that nothing explains, so it is suspected."""
    if diffs.open:
        return None
    if not diffs.compared:
        return Settled(verdict=Verdict.UNVERIFIABLE, why=Why.NOTHING_COMPARED)
    return Settled(verdict=Verdict.EXPLAINED if diffs.differences else Verdict.MATCH)


def judge(
    diffs: Diffs,
    sight: Sight,
    before: Sight | None,
    *,
    changes: int = 0,
    wobbled: bool = False,
    confirmations: int = 1,
    most_changes: int = 3,
) -> Settled | LookAgain:
    """What this look decides, given the one before.

    ``wobbled``: the authority itself answered two ways within this look. ``confirmations``: how many later
    looks must see the same before it is a mismatch. ``most_changes``: how often a side may have changed
    before nobody can say any more.
    """
    first = at_first_sight(diffs)
    if wobbled:
        if changes < most_changes:
            return LookAgain(sight=sight, changes=changes + 1)
        if diffs.open:
            # However noisy the field is: in none of these looks has the authority shown what the other side has.
            return Settled(verdict=Verdict.MISMATCH)
        excused = first is not None and any(found.explained == NOISE for found in diffs.differences)
        return (
            Settled(verdict=Verdict.EXPLAINED)
            if excused
            else Settled(verdict=Verdict.UNVERIFIABLE, why=Why.UNSTABLE)
        )
    if first is not None:
        parted = before is not None and first.verdict is not Verdict.UNVERIFIABLE
        return Settled(verdict=Verdict.LATE) if parted else first
    if before is None:
        return LookAgain(sight=sight, changes=changes)
    if (sight.fingerprint, sight.sides) != (before.fingerprint, before.sides):
        if changes < most_changes:
            return LookAgain(sight=sight, changes=changes + 1)
        return Settled(verdict=Verdict.UNVERIFIABLE, why=Why.UNSTABLE)
    stood = before.stood + 1
    if stood < confirmations:
        return LookAgain(sight=msgspec.structs.replace(sight, stood=stood), changes=changes)
    return Settled(verdict=Verdict.MISMATCH)


def may_be_late(unshown: int | None, confirm: int, *, now: int) -> int | None:
    """When to look again at sides that part, because one of them lags rather than parts as far as anybody can tell;
    None: they part. ``unshown``: when the newest write was applied that a side does not show (None: both show ours).

    A system whose reads lag looks just like one that has lost a write, at every look until it has caught up, so two
    equal looks say nothing while it shows an older state. Looks are taken at a tenth of ``confirm`` after the write,
    and at its end; then it is wrong. Microseconds throughout.
    """
    if unshown is None or unshown + confirm <= now:
        return None
    early = unshown + confirm // 10
    return early if early > now else unshown + confirm


def fingerprint(differences: Sequence[Difference], key: bytes) -> str:
    """The same for the same set of differences in whatever order, and no way back to the values without
    ``key``."""
    lines = sorted(
        _encode((found.path, found.kind, found.control, found.candidate, found.explained))
        for found in differences
    )
    return keyed_hash(b"\n".join(lines), key, digits=24)


def keyed_hash(value: bytes, key: bytes, *, digits: int = 12) -> str:
    """The first hexadecimal ``digits`` of HMAC-SHA-256: equal values stay recognisable, and only as that."""
    return hmac.new(key, value, hashlib.sha256).hexdigest()[:digits]


_encode = msgspec.json.Encoder(order="sorted").encode
