"""Moves a slice from stage to stage, and its authority from one system to the other, without losing a write.

A move that keeps the authority is one commit. A move of authority is *fenced*: from that commit on new writes are
accepted and held; the open deliveries of the old epoch are *drained*; then, in one commit, the other system becomes
the authority, the epoch rises and the held writes go there. If the drain does not finish in time, the move is given
up and the held writes go to the old authority. A process that dies in between leaves a fenced slice behind; any
process lifts a fence that is older than its limit, in favour of the old authority.
"""

from gateway.switchover.gates import Gates
from gateway.switchover.switch import Switchover

__all__ = ["Gates", "Switchover"]
