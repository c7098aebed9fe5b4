"""The records of a run as lines of a table, one for each amount, for whoever writes CSV. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.compare.tolerance import EXACT
from gateway.reconcile.measures import shown
from gateway.reconcile.run import TermRecord

COLUMNS = (
    "record", "entity", "term", "kind", "why", "measure", "currency", "authority", "mirror", "part", "fields",
)  # fmt: skip


def rows(one: TermRecord) -> Iterator[tuple[str, ...]]:
    """A line for each amount of a record; one that parts in no amount has a line without any."""
    term = "suspected" if one.term is None else one.term.value
    fields = " ".join(sorted({difference.field or "(record)" for difference in one.differences}))
    first = one.record_id, one.entity, term, one.kind, one.why or ""
    if not one.amounts:
        yield (*first, "", "", "", "", "", fields)
    for amount in one.amounts:
        part = EXACT.subtract(amount.authority, amount.mirror)
        figures = (shown(figure, amount.currency) for figure in (amount.authority, amount.mirror, part))
        yield (*first, amount.measure, amount.currency, *(format(figure, "f") for figure in figures), fields)
