"""Makes one record of two that are one, and two of them again: asked for by one person, approved by another.

Words. The *loser* becomes a tombstone, which is taken for the *winner*; see ``crosswalk`` for what that means. A merge
is *requested* with what it would change and the hash of it; another person approves that hash within 30 minutes, and it
is *done*, in one commit under both records' locks, in which it is also audited. A *split* is the way back, by the same
two persons' protocol.

Laws. Both are of one slice: of one region, and of one cohort of it or of none. Neither record has anything open, so no
delivery ever changes its record. Nothing is written to a system but to a mirror that would otherwise hold what the
winner is not: it is told the winner, by a delivery such as a backfill makes. Nothing is lost: what a merge has moved is
kept with it. A split puts that back, as long as nothing was written that stands against it: no write of the winner
since, and nothing told to a mirror by the merge. What was written since with a reference to the loser stays with the
winner.
"""

from gateway.merging.merging import Merging
from gateway.merging.wish import MergeWish

__all__ = ["MergeWish", "Merging"]
