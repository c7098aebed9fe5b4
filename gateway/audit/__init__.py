"""Remembers who did what: one row for each privileged act, in the same commit as the act.

A row is only ever added. What became of a write is told by the ledger's own events, which are added the same way.
"""

from gateway.audit.reason import LONGEST_REASON, reason_of
from gateway.audit.store import Act, acts, record

__all__ = ["LONGEST_REASON", "Act", "acts", "reason_of", "record"]
