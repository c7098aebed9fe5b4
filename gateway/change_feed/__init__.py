"""Carries over what people edit in an ERP itself, once, and to the other ERP only.

Words. A *feed* follows one system, entity and region of a slice that keeps two systems. A *pass* lists what has
changed since the last one, 120 seconds of overlap included. A *hint* is a webhook: it only begins a pass earlier. An
*echo* is a change that we have made ourselves, or that changes nothing we keep. An *edit* is anything else. What a
system *has in common* with the other one is what it showed last, without what is in dispute.

How it goes. A page is read, and each linked record of it is held against what the system showed before and what our own
writes have done to it since. Where an edit is left, both systems are read anew, and the edits of both are merged by
fields: those of a system that owns the field are carried over, others are put back, accepted, or given to a person, as
the table ``[ownership]`` of the rule file says (default: a person). What is carried over is an operation of origin
``foreign_change`` in the ordinary ledger, with one delivery, to the other system. The place in the feed is saved in the
commit that writes all of this: a kill repeats nothing and leaves nothing out.

Laws. An edit has at most one effect in the other system and none where it was made, unless a rule or a person has it
put back. A write of ours is never taken for an edit: not before the system shows it, not in a read that is behind. A
record with a write of ours on its way waits, and is looked at again; no edit goes over an accepted write. A field of
money, tax or a bank account that was edited in both systems goes to a person, whatever the rule says: the last writer
never wins. An edit in dispute holds up no write. A record that is edited to and fro, or more than five times a minute,
is not carried over any more until a person has decided. Nothing that a webhook says is believed.

Moves. A fence asks for the feed of the system that it leaves (``handover``): a pass that begins when everything edited
before it shows. What is found is of the epoch that drains, and drained with it; so it is there before the other system
leads. An edit of a record that has a held write waits for that write, as ever, and the move waits for neither.

Beside. With the feed on, a mirror of master data gets the fields that have changed since its last write instead of
the whole record, so that an edit there that is yet to be seen is not overwritten (``dispatch.prepare``).

What is left open. A product that takes a stale write (its profile says so: it is not *conditional*) is read right
before a mirror's write; an edit of the same field in the milliseconds between is written over, and nobody can see it.

What it refuses. A system whose profile does not list changes is shown as *not available*, never as idle. Records that
only one system holds are counted as *unlinked*; a backfill brings them. A record deleted in a system is no edit; a
reconciliation shows it.
"""

from gateway.change_feed.feed import FOLLOWED, STATES, Feed, State
from gateway.change_feed.follower import Follower

__all__ = ["FOLLOWED", "STATES", "Feed", "Follower", "State"]
