"""The exception queue: what the program cannot settle by itself, as work for a person.

Words. *Case*: one thing that waits for a person, with its cause in words that finance people use, its owner, its
deadline and the money at stake. *Kind*: what has gone wrong; a row of ``kinds.KINDS``. *Resolution*: a way to decide
it; a row of ``kinds.RESOLUTIONS``. *Owner*: a role at first, a name as soon as somebody takes it. *Subject*: the
delivery that a case is about, or the operation where no delivery is.

Laws. A subject has at most one open case; opening it again only adds to its history. A case is opened, and closed when
the ledger itself settles the matter, in the commit that makes it so: ``open_cases`` and ``close_for`` work on the
caller's connection and take many at a time. A person's decision, its effect on the ledger and its audit row are one
commit. A decision that no longer fits changes nothing and is told what is so now. Where money would be sent again or
refused, a second person has to decide the same. A case in which a delivery still waits cannot be dismissed: the write
would be in nobody's hands.
"""

from gateway.cases.case import Case, CaseEvent, Opening
from gateway.cases.kinds import KINDS, RESOLUTIONS, Kind, Resolution, kind_of
from gateway.cases.queue import Cases
from gateway.cases.store import close_for, open_cases

__all__ = [
    "KINDS",
    "RESOLUTIONS",
    "Case",
    "CaseEvent",
    "Cases",
    "Kind",
    "Opening",
    "Resolution",
    "close_for",
    "kind_of",
    "open_cases",
]
