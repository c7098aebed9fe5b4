"""What may become of an operation and of a delivery is a table; everything else raises."""

from __future__ import annotations

from itertools import product

import pytest

from gateway.ledger.states import (
    DELIVERY_DONE,
    DELIVERY_MOVES,
    DELIVERY_OPEN,
    OPERATION_ENDS,
    OPERATION_MOVES,
    DeliveryEvent,
    DeliveryState,
    IllegalMove,
    OperationEvent,
    OperationState,
    delivery_after,
    operation_after,
)


@pytest.mark.parametrize(("state", "event"), list(product(OperationState, OperationEvent)))
def test_every_pair_of_operation_moves_or_raises(state: OperationState, event: OperationEvent) -> None:
    """An operation goes where the table says, and a pair that is not in it raises."""
    if (state, event) in OPERATION_MOVES:
        assert operation_after(state, event) is OPERATION_MOVES[state, event]
    else:
        with pytest.raises(IllegalMove):
            operation_after(state, event)


@pytest.mark.parametrize(("state", "event"), list(product(DeliveryState, DeliveryEvent)))
def test_every_pair_of_delivery_moves_or_raises(state: DeliveryState, event: DeliveryEvent) -> None:
    """A delivery goes where the table says, and a pair that is not in it raises."""
    if (state, event) in DELIVERY_MOVES:
        assert delivery_after(state, event) is DELIVERY_MOVES[state, event]
    else:
        with pytest.raises(IllegalMove):
            delivery_after(state, event)


@pytest.mark.parametrize("state", sorted(OPERATION_ENDS))
def test_nothing_follows_an_end(state: OperationState) -> None:
    """A settled, rejected or cancelled operation never moves again."""
    assert not [event for (before, event) in OPERATION_MOVES if before is state]


@pytest.mark.parametrize("state", sorted(DELIVERY_DONE))
def test_nothing_follows_a_done_delivery(state: DeliveryState) -> None:
    """What is applied, superseded or skipped never becomes due again."""
    assert not [event for (before, event) in DELIVERY_MOVES if before is state]


def test_an_expired_lease_is_never_ready() -> None:
    """Whoever held a lease may have sent: it ends as unknown, and only a look leads back to ready."""
    assert delivery_after(DeliveryState.SENDING, DeliveryEvent.LEASE_EXPIRED) is DeliveryState.UNKNOWN
    back = {
        event
        for (state, event), after in DELIVERY_MOVES.items()
        if state is DeliveryState.UNKNOWN and after is DeliveryState.READY
    }
    assert back == {DeliveryEvent.PROVEN_ABSENT}


def test_what_is_cut_off_waits_and_is_not_sent() -> None:
    """Whatever was under way when its system was left waits for a person or a look; only what was never sent is taken
    back; and a system that is back is asked before anything else."""
    after = {to for (_, event), to in DELIVERY_MOVES.items() if event is DeliveryEvent.CUT_OFF}
    assert after == {DeliveryState.PARKED}
    assert [state for state, event in DELIVERY_MOVES if event is DeliveryEvent.RECALLED] == [DeliveryState.READY]
    assert [to for (_, event), to in DELIVERY_MOVES.items() if event is DeliveryEvent.BACK] == [DeliveryState.UNKNOWN]
    ways = {to for (state, _), to in OPERATION_MOVES.items() if state is OperationState.STRANDED}
    assert ways == {
        OperationState.COMMITTED, OperationState.STRANDED, OperationState.ACCEPTED, OperationState.REJECTED,
    }  # fmt: skip


@pytest.mark.parametrize("state", sorted(DELIVERY_OPEN))
def test_every_open_state_has_a_way_out(state: DeliveryState) -> None:
    """Nothing can be stuck for ever: each open state leads somewhere."""
    assert {after for (before, _), after in DELIVERY_MOVES.items() if before is state} - {state}
