"""The circuit breaker of one system: when nothing is sent any more, and how sending begins again. Pure: the caller
says what time it is.

One breaker stands for a whole system and not for its regions: the settings give a system one address, so what takes
one region of it away takes all. Each process has its own. What it counts is its own evidence: a process whose own way
to the system is broken must not stop the others, and a system that is really down costs every process the few calls
that it takes to see it.

While it is open only the health probe goes out. Two outages have to be told apart. Where the system could not be
reached at all, or the probe fails as well, the probe is a good witness: the first one that is answered ends the outage,
however short it was. Where the probe is
answered all the time and calls fail nevertheless, it proves nothing, and is believed only after the whole pause of
30 s times the number of openings in a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

CONSECUTIVE = 5  #: failures in a row that open it
WINDOW_S = 10  #: seconds that the share of failures is taken over
WINDOW_CALLS = 20  #: calls in the window below which a share says nothing
WINDOW_SHARE = 0.5  #: share of failed calls that opens it
PAUSE_S = 30.0  #: seconds that it stays open where the probe proves nothing; times the openings in a row
PAUSE_CAP_S = 300.0
FORGET_S = 600.0  #: an opening that begins this long after the last one has ended is a first one again
PROBE_S = (
    0.5  #: seconds between probes at first; then a share of the outage, so that we are late in proportion
)
PROBE_SHARE = 0.02
PROBE_CAP_S = 10.0


class State(StrEnum):
    CLOSED = "closed"  #: calls go out
    OPEN = "open"  #: none does
    PROBING = "probing"  #: none but the one health probe that is under way
    RAMPING = "ramping"  #: calls go out, a few at once, one more with each success


class Event(StrEnum):
    TRIPPED = "tripped"
    ASKED = "asked"
    SILENT = "silent"
    DOUBTED = "doubted"
    ANSWERED = "answered"
    GROWN = "grown"


class Impossible(Exception):
    """This state does not know this event. The program is wrong."""


_S, _E = State, Event

# fmt: off
BREAKER_MOVES: Mapping[tuple[State, Event], State] = {
    (_S.CLOSED,  _E.TRIPPED):  _S.OPEN,
    (_S.RAMPING, _E.TRIPPED):  _S.OPEN,
    (_S.OPEN,    _E.ASKED):    _S.PROBING,  # the health probe is sent
    (_S.PROBING, _E.SILENT):   _S.OPEN,     # it was not answered
    (_S.PROBING, _E.DOUBTED):  _S.OPEN,     # it was, as it was all the time, and calls failed nevertheless
    (_S.PROBING, _E.ANSWERED): _S.RAMPING,
    (_S.RAMPING, _E.GROWN):    _S.CLOSED,   # as many at once as the profile allows
}
# fmt: on


def after(state: State, event: Event) -> State:
    """The state that ``event`` leads to. Raises Impossible for a pair that the table does not have."""
    try:
        return BREAKER_MOVES[state, event]
    except KeyError:
        raise Impossible(f"a {state} breaker does not know {event}") from None


class Breaker:
    """``most``: calls at once that the system bears when all is well. ``pause_s``: how long the first opening lasts
    where the probe proves nothing. Times are seconds on a clock that never goes
    back."""

    def __init__(self, most: int, *, pause_s: float = PAUSE_S) -> None:
        self.state = State.CLOSED
        self.period = 0  #: rises with each opening; what was begun in an earlier one proves nothing any more
        self.times = 0  #: openings in a row
        self._pause_s = pause_s
        self.most = most  #: calls at once that the system bears when all is well
        self._limit = most
        self._row = 0  #: failures without a success between them
        self._window: dict[int, list[int]] = {}  #: second -> calls, failures
        self._opened = 0.0
        self._asked = 0.0
        self._silent = False  #: the system was seen not to be there at all, by calls or by a probe
        self._ended = float("-inf")

    @property
    def lets_through(self) -> bool:
        return self.state is State.CLOSED or self.state is State.RAMPING

    @property
    def limit(self) -> int:
        """Calls that may be under way at once."""
        if not self.lets_through:
            return 0
        return self._limit if self.state is State.RAMPING else self.most

    @property
    def pause_s(self) -> float:
        """How long this opening lasts where the probe proves nothing."""
        return min(PAUSE_CAP_S, self._pause_s * max(1, self.times))

    def seen(self, *, ok: bool, period: int, now: float, reached: bool = True) -> bool:
        """Takes the outcome of one call that was begun in ``period``; says whether it has changed what may go out.
        ``reached``: the system was there, and failed nevertheless."""
        if not self.lets_through or period != self.period:
            return False
        calls = self._window.setdefault(int(now), [0, 0])
        calls[0] += 1
        if ok:
            self._row = 0
            if self.state is not State.RAMPING:
                return False
            self._limit += 1
            if self._limit >= self.most:
                self.state = after(self.state, Event.GROWN)
            return True
        calls[1] += 1
        self._row += 1
        if self._row >= CONSECUTIVE or self._share_reached(now):
            self._open(now, silent=not reached)
            return True
        if self.state is State.RAMPING:
            self._limit = max(1, self._limit // 2)
            return True
        return False

    def probe_due(self, now: float) -> bool:
        """Whether the health probe is to be sent now."""
        return self.state is State.OPEN and now >= self.next_probe()

    def next_probe(self) -> float:
        """When the next health probe is due; only of meaning while it is open."""
        apart = min(PROBE_CAP_S, max(PROBE_S, PROBE_SHARE * (self._asked - self._opened)))
        return self._asked + apart

    def asked(self, now: float) -> None:
        """The probe is sent."""
        self.state = after(self.state, Event.ASKED)
        self._asked = now

    def probed(self, *, ok: bool, now: float) -> bool:
        """What became of the probe; says whether calls may go out again."""
        if not ok:
            self._silent = True
            self.state = after(self.state, Event.SILENT)
            return False
        if not self._silent and now - self._opened < self.pause_s:
            self.state = after(self.state, Event.DOUBTED)
            return False
        self.state = after(self.state, Event.ANSWERED)
        self._limit = 1
        self._ended = now
        if self._limit >= self.most:
            self.state = after(self.state, Event.GROWN)
        return True

    def resize(self, most: int) -> None:
        """The system bears so many calls at once from here now."""
        self.most = max(1, most)
        self._limit = min(self._limit, self.most)

    def _open(self, now: float, *, silent: bool) -> None:
        self.state = after(self.state, Event.TRIPPED)
        self.times = 1 if now - self._ended >= FORGET_S else self.times + 1
        self.period += 1
        self._opened = self._asked = now
        self._silent = silent
        self._row = 0
        self._window.clear()

    def _share_reached(self, now: float) -> bool:
        oldest = int(now) - WINDOW_S + 1
        for second in [second for second in self._window if second < oldest]:
            del self._window[second]
        calls = sum(seen[0] for seen in self._window.values())
        failed = sum(seen[1] for seen in self._window.values())
        return calls >= WINDOW_CALLS and failed >= WINDOW_SHARE * calls
