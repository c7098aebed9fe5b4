"""Moves a slice from stage to stage, and its authority from one system to the other, without losing a write.

A move that keeps the authority is one commit. One after which a system is no longer told, or is told first, is a
*switch* and *fenced*: from that commit on new writes are accepted and held; the open deliveries of the old epoch are
*drained*, and what people have edited in the system that is left is carried over (``edits``); then, in one commit, the
rule changes, the epoch has risen and the held writes go where the new rule says. If the drain does not finish in time,
or somebody aborts, the held writes go to the authority that was.

A switch has a row from its request to its end, and each step is one commit that also moves that row on. A process that
dies in between leaves it where it stands, and any process goes on from there. With two persons, one asks for it and
another signs the hash of its evidence; the signature holds for as long as the evidence does.

An *emergency* is the switch away from an authority that does not answer. It waits for nothing of that system: see
``emergency`` for what two persons agree on, ``escape`` for its steps, and ``left_behind`` for what becomes of writes of
which nobody knows whether the system took them.
"""

from gateway.switchover.fence import Fence
from gateway.switchover.gates import Gates
from gateway.switchover.moves import Moves
from gateway.switchover.opening import open_switchover
from gateway.switchover.store import Switch
from gateway.switchover.switch import Switchover
from gateway.switchover.switches import Switches

__all__ = ["Fence", "Gates", "Moves", "Switch", "Switches", "Switchover", "open_switchover"]
