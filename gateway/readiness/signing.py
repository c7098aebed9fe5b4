"""Signatures under reports: a person has looked at the evidence of a slice, and answers for it.

What is signed is one hash. A signature stands under a report for as long as its evidence is what was signed, and for as
long at most as an approval of a switch has time; the audit keeps it for ever. Whoever has brought a slice where it is
does not sign for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from gateway.audit import acts
from gateway.audit import record as audited
from gateway.dispatch.claim import MICROS
from gateway.errors import SecondPersonNeeded
from gateway.ledger import slices
from gateway.switchover.evidence import agreed
from gateway.switchover.switches import VALID_S

#: Signatures that are looked at, the newest: more in half an hour than people can give.
MOST = 1_000
_ACTION = "readiness.sign"


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers for the evidence of a report, since when."""

    signed_by: str
    signed_at: str


def standing(connection: Connection, *, now: int) -> Mapping[tuple[str, str], Sequence[Signature]]:
    """The signatures that count now, the oldest first, by slice (``customer/UK``) and by the hash that was signed."""
    found: dict[tuple[str, str], dict[str, Signature]] = {}
    for act in reversed(acts(connection, since=now - VALID_S * MICROS, action=_ACTION, limit=MOST)):
        signed = found.setdefault((act.subject, act.detail["evidence"]), {})
        # To sign twice is no error, and counts once.
        signed.setdefault(act.actor, Signature(signed_by=act.actor, signed_at=act.at))
    return {key: tuple(signed.values()) for key, signed in found.items()}


def sign(
    connection: Connection, entity: str, region: str, *, now: int, evidence: str, signed: str, verdict: str, actor: str
) -> None:
    """Signs ``evidence``, the hash of the report as it is now. Raises EvidenceChanged where ``signed`` is another one,
    and SecondPersonNeeded for whoever made the last change of the slice's rule."""
    agreed("evidence_hash", signed, evidence, "evidence of this report")
    last = slices.history(connection, entity, region, limit=1)
    if last and last[0].actor == actor:
        raise SecondPersonNeeded(
            f"{actor} has brought this slice where it is; another person has to sign for it", requested_by=actor
        )
    detail = {"evidence": evidence, "verdict": verdict}
    audited(connection, at=now, actor=actor, action=_ACTION, subject=subject(entity, region), detail=detail)


def subject(entity: str, region: str) -> str:
    """The slice as the audit names it."""
    return f"{entity}/{region}"
