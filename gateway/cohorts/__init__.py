"""Brings roots that are there already into a cohort, with all that hangs on them: a wave of a migration.

Words. A *root* is a customer or a project, whichever the cohort is of. Its *followers* are the records that take their
place from it, directly or by way of others (``FOLLOWS`` in ``gateway.routing.cohort``). They are *relabelled*: their
place changes, and nothing else of them.

Why it is only relabelling. It is done while the region's slice and the cohort's, of each entity, are at one stage with
one authority and no move under way, and nothing is open for any of these records: no write, no delivery, no case. So no
system has to be told anything, and the next write goes where it would have gone. What is known of the records goes with
them: differences that are open, comparisons and looks that are due. What was written before stays with the slice that
it was written in, and so do waivers, backfills and reconciliations: the cohort makes its own.

A tombstone is nobody's root and follows nobody: it is wherever the record is that it is taken for, and goes with it.
What names a tombstone names that record.

Laws. One commit, under the locks that every write of the region takes, with its line in the audit. What follows a root
is found out of the journal's documents before the locks are taken and judged again under them, with all that has been
written meanwhile. Asking again brings what has come to hang on the roots since, and changes nothing else.

What it refuses. A tombstone, and a record whose merge or split waits for another person. A move from cohort to cohort,
or back into the region: their slices may have been apart since. A record of which the journal has no document cannot be
seen to follow; how many there are is told.
"""

from gateway.cohorts.assigning import Assigned, Assigning

__all__ = ["Assigned", "Assigning"]
