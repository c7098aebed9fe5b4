"""What is judged after each step, and what at the end."""

from __future__ import annotations

from gateway.ledger.invariants import broken, extent
from tests.model.stepped import SteppedWorld
from tests.model.streams import Streams
from tests.simulation import check
from tests.simulation.check import Facts, Verdict
from tests.simulation.history import History

#: Laws of the history's checker that hold at any moment; the others are about what has come to its end.
AT_ANY_MOMENT = (
    check.doubled,
    check.reordered,
    check.at_once,
    check.phantom,
    check.out_of_time,
    check.untruthful,
    check.replayed,
    check.two_authorities,
    check.own_faults,
)
#: More records than any history has.
ALL = 1000


def in_between(world: SteppedWorld, streams: Streams) -> list[Verdict]:
    """Breaches that can be told while things are under way."""
    history = world.history()
    facts = Facts(history)
    return [*_always(world, streams, history), *(one for law in AT_ANY_MOMENT for one in law(facts))]


def at_rest(world: SteppedWorld, streams: Streams) -> list[Verdict]:
    """Ends the history; every breach of any law."""
    history = world.come_to_rest()
    verdicts = [*_always(world, streams, history), *check.check(history)]
    if not history.quiet:
        verdicts.append(Verdict(law="C1 lost", what="half an hour after all faults something was still open"))
    return verdicts


def _always(world: SteppedWorld, streams: Streams, history: History) -> list[Verdict]:
    return [*streams.heard(history), *streams.held(history), *_journal(world)]


def _journal(world: SteppedWorld) -> list[Verdict]:
    """The invariants of the ledger, over the whole journal."""
    now = world.store.now()
    found = world.store.look(lambda conn: broken(conn, extent(conn, records=ALL), now=now))
    return [
        Verdict(law=f"invariant {law}", what="broken", concerns=rows) for law, rows in found.items() if rows
    ]
