"""Scheduled changes that were refused at their time, as work for a person: whoever asked for one is not there then.

The case is opened in the commit of the refusal and closed in the commit that makes the slice what it was to be, whoever
brings that about: another scheduled change, a switch, or somebody by hand. A slice that is so already needs none. Both
hold the slice, so that neither misses the other.
"""

from __future__ import annotations

from sqlalchemy import Connection

from gateway.cases import Kind, Opening, close_for, open_cases
from gateway.clock import rfc3339
from gateway.database import from_micros
from gateway.ids import Ids
from gateway.ledger import slices
from gateway.ledger.slices import Slice
from gateway.switchover import scheduled
from gateway.switchover.scheduled import Scheduled
from gateway.switchover.store import Problem

#: How such a case ends by itself.
MADE_LATER = "made_later"


def tell(connection: Connection, one: Scheduled, problem: Problem, *, at: int, ids: Ids) -> None:
    """Opens a case about a change that is refused in this commit. The slice is held."""
    current = slices.read(connection, [one.key]).get(one.key)
    if current is not None and _is_so(current, one):
        return
    when = rfc3339(from_micros(one.effective_at))
    message = (
        f"{one.id}, which {one.requested_by} had asked for, was to make {one.entity} in {one.region} {one.to_stage} "
        f"at {when}: {problem.message}"
    )
    open_cases(
        connection,
        [
            Opening(
                kind=Kind.SCHEDULE_REFUSED,
                operation_id=one.id,
                record_id="",
                entity=one.entity,
                region=one.region,
                code=problem.code[:80],
                message=message,
            )
        ],
        at=at,
        ids=ids,
    )


def settle(connection: Connection, changed: Slice, *, at: int) -> None:
    """Closes the cases about what the slice has now become. It is held."""
    waiting = scheduled.with_case(connection, (changed.entity, changed.region))
    close_for(
        connection,
        operation_ids=[one.id for one in waiting if _is_so(changed, one)],
        at=at,
        how=MADE_LATER,
        reason=f"the rule is so since its version {changed.version}",
    )


def _is_so(current: Slice, one: Scheduled) -> bool:
    """Whether the slice is all that the change was to make it."""
    return current.stage is one.to_stage and all(
        getattr(current, name) == value for name, value in one.rule.items()
    )
