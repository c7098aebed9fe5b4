"""Whether what a system shows is the effect of one write, whose answer nobody has heard. Pure."""

from __future__ import annotations

import msgspec

from adapters.contract import Adapter, Found
from gateway.canonical import BY_NAME
from gateway.dispatch.claim import MICROS, Claim
from gateway.dispatch.command import Document
from gateway.dispatch.translate import expected


class Open(msgspec.Struct, frozen=True, kw_only=True):
    claim: Claim
    before: Document  #: the record as the system had it from us before this write
    last_at: int  #: when the write before it was known to be applied there; 0: there was none
    probes: int
    lease_expiries: int
    quarantine_until: int
    since: int
    now: int
    asked: bool = False  #: a person says that it was applied, and this look is to confirm it
    stated: bool = False  #: and has said which of the system's records it is
    stranded: bool = False  #: an emergency has left this system; what it did is found out, and nothing is sent to it


def is_ours(adapter: Adapter, one: Open, found: Found) -> bool:
    """Whether what was found is the effect of this very operation. The marker says so where the system keeps it."""
    claim = one.claim
    if found.marker is not None and found.marker == claim.marker:
        return True
    if claim.kind == "create":
        return found.external_id == claim.record_id or (one.stated and _reads_like(adapter, claim, found))
    if found.marker is not None and claim.kind != "transition":
        return False
    # A product that keeps no marker on this kind of call: then the record has to speak. All that the write was to
    # make of it is so, and some of it reads differently from what was there before; whether that was this attempt or
    # an equal one makes no difference. A state that the product folds with the one before it says nothing.
    entity = BY_NAME[claim.entity]
    wanted = {"state": None} if claim.kind == "transition" else claim.change
    after = expected(adapter, entity, {name: claim.image.get(name) for name in wanted})
    before = expected(adapter, entity, {name: one.before.get(name) for name in wanted})
    plain = {name: value for name, value in after.items() if not name.endswith("_id")}
    return plain != {name: before.get(name) for name in plain} and all(
        found.fields.get(name) == value for name, value in plain.items()
    )


def early_s(adapter: Adapter, one: Open, found: Found) -> float:
    """Seconds until what was found proves something. A record that has to speak for itself may be shown as it was
    before the write before this one, and read then as this one wants it."""
    if found.marker == one.claim.marker or one.claim.kind == "create":
        return 0.0
    return adapter.facts(one.claim.entity).lag_s - (one.now - one.last_at) / MICROS


def _reads_like(adapter: Adapter, claim: Claim, found: Found) -> bool:
    """Whether a record that a person has pointed at says what the write was to make of it, as far as the system holds
    that: the only proof of a system that keeps no reference of ours."""
    wanted = expected(adapter, BY_NAME[claim.entity], claim.image)
    return all(
        found.fields.get(name) == value
        for name, value in wanted.items()
        if value is not None and not name.endswith("_id")
    )
