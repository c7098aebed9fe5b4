"""What has become of a record that was written, from its deliveries and from the comparison after them. Pure."""

from __future__ import annotations

from gateway.ledger.states import DeliveryState
from gateway.repair import store
from gateway.repair.planning import KEPT, head
from gateway.repair.run import Action, Outcome

_REFUSED = {DeliveryState.PARKED.value, DeliveryState.REJECTED.value, DeliveryState.SKIPPED.value}


def settled(one: store.Standing) -> tuple[Outcome, str | None] | None:
    """The outcome with its reason; None: it is to be waited for."""
    refused = [state for state in one.states if state in _REFUSED]
    if refused:
        # What is behind a refused write in a strict lane goes when a person has decided, and counts with it.
        return Outcome.FAILED, one.message or f"its delivery is {refused[0]}"
    if any(store.is_moving(state) for state in one.states):
        return None
    if DeliveryState.SUPERSEDED.value in one.states:
        return Outcome.SUPERSEDED, "a newer write of the record overtook it"
    if not one.states:
        return Outcome.FAILED, "its delivery is kept no longer"
    if one.comparing:
        return None
    if one.overtaken:
        return Outcome.REPAIRED, "a newer write of the record came after it, and is compared by itself"
    # Of a record with very many changes not all are kept, so anything that parts still counts.
    whole = one.item.action is Action.CREATE or len(one.item.changes) >= KEPT
    written = {head(change.field) for change in one.item.changes}
    left = sorted(place or "the whole record" for place in one.parts if whole or not place or head(place) in written)
    if left:
        return Outcome.FAILED, f"its sides part still, in {', '.join(left[:5])}"
    return Outcome.REPAIRED, None
