"""Repairs a mirror from the unexplained differences of a reconciliation, with a dry run, an approval, and the ledger.

Words. A *repair* is made from one finished reconciliation. Its *plan* is, for each unexplained record or those that
were chosen, an *action*: what would be written where. The *source* is the authority of the slice and the *target* its
mirror. The *plan hash* is over every action with its values; a *dry run* ends with it.

How it goes. Each record is read again in both systems, and the plan says: create it in the target, link it to the one
record there that fits, write the fields that part, give it to a person, or nothing. Whoever asks for it signs nothing
yet: another person approves the plan hash within 30 minutes. Then chunk after chunk is read once more and written into
the ordinary ledger, as writes that the authority has already and that the mirror is to get, at the rate of a backfill.
At the end each record has been taken by the target and compared anew, and the repair says of every one: repaired,
linked, superseded, with a person, or failed.

Laws. Planning writes into neither system. What is written is what was approved, to the last value: a record that reads
otherwise by then, or that anything has happened to, is superseded and not written. A field is written whole, and no
field beside those of the plan. What stands in the books of either system is never written over, nothing is ever
deleted, and a record that only the mirror holds is a person's: each of these becomes a case. A chunk and how far the
repair has come are one commit, void when somebody else holds it: a kill repeats nothing. Each act of a person is
audited in the commit of its effect, and so is each link that is taken back.

A record that was deleted in the target is created there anew, and its link that leads nowhere is taken back in the
commit of that write.

What is left open. A field that somebody edits in the target in the moment between the last look and the write is
written over where the change feed is off, as by any write to a mirror.

What it refuses. A reconciliation that has not ended, a slice whose authority has moved since, and a second repair of a
slice where one is asked for or under way.

Files. ``run`` ``planning`` and ``settling`` are pure; ``tables`` ``store`` and ``retention`` keep; ``looking`` reads
both systems, ``writing`` writes a chunk, ``steps`` does the pieces, and ``repairer`` runs them and takes what people
ask.
"""

from gateway.repair.repairer import Repairer
from gateway.repair.run import ACTIONS, OUTCOMES, STATES, Repair

__all__ = ["ACTIONS", "OUTCOMES", "STATES", "Repair", "Repairer"]
