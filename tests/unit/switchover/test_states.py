"""What may become of a switch, and of a change at a time, is a table; everything else raises."""

from __future__ import annotations

from itertools import product

import pytest

from gateway.switchover.states import (
    ENDED,
    SCHEDULE_MOVES,
    SWITCH_MOVES,
    IllegalSwitch,
    ScheduleEvent,
    ScheduleState,
    SwitchEvent,
    SwitchState,
    schedule_after,
    switch_after,
)


@pytest.mark.parametrize(("state", "event"), list(product(SwitchState, SwitchEvent)))
def test_every_pair_of_a_switch_moves_or_raises(state: SwitchState, event: SwitchEvent) -> None:
    """A switch goes where the table says, and a pair that is not in it raises."""
    if (state, event) in SWITCH_MOVES:
        assert switch_after(state, event) is SWITCH_MOVES[state, event]
    else:
        with pytest.raises(IllegalSwitch):
            switch_after(state, event)


@pytest.mark.parametrize(("state", "event"), list(product(ScheduleState, ScheduleEvent)))
def test_every_pair_of_a_scheduled_change_moves_or_raises(state: ScheduleState, event: ScheduleEvent) -> None:
    """A change at a time goes where the table says, and a pair that is not in it raises."""
    if (state, event) in SCHEDULE_MOVES:
        assert schedule_after(state, event) is SCHEDULE_MOVES[state, event]
    else:
        with pytest.raises(IllegalSwitch):
            schedule_after(state, event)


def test_nothing_follows_an_end() -> None:
    """A committed or aborted switch, and a change that is done, refused or cancelled, never moves again."""
    assert not [state for state, _ in SWITCH_MOVES if state in ENDED]
    over = {ScheduleState.DONE, ScheduleState.REFUSED, ScheduleState.CANCELLED}
    assert not [state for state, _ in SCHEDULE_MOVES if state in over]
    assert {to for to in SCHEDULE_MOVES.values() if not [s for s, _ in SCHEDULE_MOVES if s is to]} == over


def test_what_waits_for_another_person_is_never_made() -> None:
    """Without its approval a change at a time can only end."""
    after = {
        to
        for (state, event), to in SCHEDULE_MOVES.items()
        if state is ScheduleState.REQUESTED and event is not ScheduleEvent.APPROVED
    }
    assert after == {ScheduleState.REFUSED, ScheduleState.CANCELLED}
