"""How many calls to one system may be repeats. Pure: the caller says what time it is.

A repeat is a call for a delivery that has reached the system before. First calls never need a token. The budget is
kept by each process for itself: it holds the *rate* of repeats down in proportion to the successes that this very
process has seen, and a share of a sum is the sum of the shares; nothing would be gained by asking the others.
"""

from __future__ import annotations

PER_SUCCESS = 0.1  #: tokens that a success is worth: one repeat in ten
CAP = 50.0  #: the most that is saved up, and what a process begins with
TRICKLE_S = 10.0  #: seconds in which one token comes by itself, so that repeats never die out


class Budget:
    """Times are seconds on a clock that never goes back."""

    def __init__(self, now: float) -> None:
        self._tokens = CAP
        self._at = now

    def succeeded(self) -> None:
        self._tokens = min(CAP, self._tokens + PER_SUCCESS)

    def whole(self, now: float) -> int:
        """How many repeats may be begun now."""
        if now > self._at:
            self._tokens = min(CAP, self._tokens + (now - self._at) / TRICKLE_S)
            self._at = now
        # A hair more than the sum: ten times a tenth is one.
        return int(self._tokens + 1e-9)

    def spend(self, repeats: int) -> None:
        """They are begun."""
        self._tokens = max(0.0, self._tokens - repeats)
