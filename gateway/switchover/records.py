"""What a move of authority leaves behind in words: why it was given up, and its line in the audit."""

from __future__ import annotations

from sqlalchemy import Connection

from gateway.audit import record as audited
from gateway.errors import FieldError, RuleRefused
from gateway.ledger.slices import Slice
from gateway.switchover.store import Switch


def given_up(gate: str, message: str) -> RuleRefused:
    """A move that was begun and ends without an effect."""
    return RuleRefused(
        f"{message}; the slice stays as it was",
        errors=[FieldError(pointer="/stage", code=gate, message=message)],
        gates=[gate],
    )


def audit_rule(connection: Connection, at: int, before: Slice, after: Slice, by: Switch) -> None:
    audited(
        connection,
        at=at,
        actor=by.requested_by,
        action="rule.set",
        subject=f"{before.entity}/{before.region}",
        detail={
            "before": before.stage.value,
            "after": after.stage.value,
            "version": after.version,
            "epoch": after.epoch,
            "reason": by.reason,
            "overridden": list(by.overridden),
            "switch": by.id,
            "evidence": by.evidence_hash,
            "approved_by": by.approved_by,
            **({"mapping": list(by.accepted)} if by.accepted else {}),
        },
    )
