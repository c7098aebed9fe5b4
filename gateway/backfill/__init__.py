"""Brings what the authority of a slice holds into its mirror, so that a mirror that began empty becomes complete.

Words. A *run* is one backfill of one slice. A *chunk* is a page of the source with what became of each record of it.
The *source* is the authority of the slice and the *target* its mirror: cloud to legacy once the slice is live. The
*low mark* is the journal's last event of which the page surely shows what came of it: the last one before it was read,
less the time by which the source's profile says that its reads are late.

How it goes. A run counts the source, then takes it chunk by chunk. A record with no link in the target is looked for
there by our id and its match key. One fits: it is linked. None: it is created through the ordinary ledger, as a write
whose authority has it already. Two or more: the write waits for a person, in a case. Then the run is verified: its
deliveries have ended, what it linked or found linked has been compared, and the journal is asked which records of the
source have no link still.

Laws. A record that is linked is never written to. One whose stream has moved since the low mark, or that has an open
write, is dropped as *superseded_by_live*: the live write brings it or, where it was made before there was a mirror, the
next run. What is created takes a number in the record's stream under the record's lock, so a later live write waits
behind it, or overtakes it with the whole newer state. A chunk and how far the run has come are one commit, void when
somebody else holds the run: a kill repeats nothing.

The mark is not stored. It belongs to one reading of a page, and a page that was read and not committed is gone with the
process that read it: whoever comes next takes a mark anew, then reads the page anew, then looks at the records anew.
The older mark could only leave out, for no reason, records whose newer state the newer page shows.

Dependencies. A record that refers to one that the target does not hold, and that is not on its way there, is
*blocked*, with the reason; backfill that entity first, in the order of ENTITIES, then this one again.

What it refuses. A slice with one system, and a source other than the authority: what only a mirror holds is not known
to be right, and a reconciliation shows it as extra.
"""

from gateway.backfill.backfiller import Backfiller
from gateway.backfill.run import STATES, Run

__all__ = ["STATES", "Backfiller", "Run"]
