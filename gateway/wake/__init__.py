"""Wakes other processes: what one of them leaves in the journal, the others look for at once.

Words. A *word* says what to look for: a delivery that became ready, a rule that changed. It carries nothing else.

Laws. A word is only a hint. Whatever it is about stands in the journal, and whoever listens also looks by itself; a
word that is lost, late, doubled or foreign costs time or one needless look, never a write. Telling is at once and
cannot fail: no request ever waits for Redis. Words between two rests are told once.

Files. ``port`` is what the other rooms see, and ``opening`` chooses; ``over_redis`` is there for deployments of several
processes, and is imported only where the settings name a Redis.
"""

from gateway.wake.port import Alone, Wake, Word

__all__ = ["Alone", "Wake", "Word"]
