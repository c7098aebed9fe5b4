"""Reconciles whole sets: what the authority of a slice holds against what the mirror holds, to the cent.

Words. A *run* is one reconciliation of one slice. Its *sets* are what each system lists for the slice. A *measure* is a
figure that is summed: each money field and quantity of the entity, and those of the professional services pack. A
record whose sides part adds its *part* to one *term* of the *bridge*:

``authority total = mirror total + late + queued + in case + waived + unexplained``

How it goes. A run reads both sets page by page through the adapters, as the least urgent requests that there are, or
from a *source*: an export or a database that the settings declare for a system. It keeps them as canonical documents,
paired by the crosswalk and else by the natural key, and judges range after range of canonical ids by the compare policy
of the entity. Whatever parts is only suspected: the journal places what is on its way (*queued*) or with a person (*in
case*), a waiver or declared reason what is accepted (*waived*), and the rest is read again on both sides once it has
been quiet for the settle time. Equal then is *late*; what still parts is *unexplained*, and that alone blocks.

Laws. Money is Decimal from end to end. Every record that parts is in exactly one term, so the bridge sums to zero; a
run whose bridge does not is failed and never told as a result. A record that could not be read again is unexplained,
and an empty slice is inconclusive: too little evidence is never agreement. A step and how far the run has come are one
commit, void when somebody else has taken the run over, so a killed worker loses nothing and repeats nothing. Of
personal values only keyed hashes are left when a run has ended; the documents that it has read are deleted.

A second run reads both sets again, because no system can be asked for a range of canonical ids. It judges only the
ranges that have changed: one in which nothing parted, and whose two digests are what they were, has the same tally.

Two sources of one run that are large CSV files are read as sets: what is surely the same is counted and summed at once,
and only what is left goes the way of the rows.

What it refuses. Sums of a general ledger: no profile maps its accounts, and a figure that cannot be made is told as not
available, with the reason, and never estimated.

Files. ``measures`` ``bridge`` ``tally`` ``ranges`` ``matching`` ``reporting`` and ``run`` are pure; ``tables``
``store`` ``queries`` ``standing`` ``unreadable`` keep and ask; ``reading`` and ``rechecking`` read the systems, and
``sources`` what stands for one, ``sets`` and ``agreement`` two of them at once, ``left`` what that leaves; ``eyes``
says how a run looks at its sides; ``steps`` does the pieces of a run, and ``reconciler`` runs them.
"""

from gateway.reconcile.bridge import BridgeLine, Term, bridge
from gateway.reconcile.reconciler import Reconciler
from gateway.reconcile.run import STATES, Report, Run, TermRecord, Verdict

__all__ = ["STATES", "BridgeLine", "Reconciler", "Report", "Run", "Term", "TermRecord", "Verdict", "bridge"]
