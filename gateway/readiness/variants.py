"""Which kinds of records a slice holds, and of which of them both sides were compared.

After each write that is mirrored both sides are read back and compared, and so is what a backfill has linked. So a
record has been compared when a mirror has applied a write of it, or a backfill that linked it was verified, no
comparison of it waits, and none ended as unverifiable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, exists, or_, select

from gateway.backfill.store import compared as compared_by_backfill
from gateway.compare import tables as compare
from gateway.compare.verdict import Verdict
from gateway.ledger.states import DeliveryState
from gateway.ledger.tables import delivery, record
from gateway.readiness.measured import Variant

#: What makes records of an entity different in kind, beside the legal entity: paths into the canonical document.
KINDS: Mapping[str, tuple[str, ...]] = {
    "customer": ("state", "currency"),
    "project": ("state", "currency", "billing_method"),
    "resource": ("state", "kind"),
    "contract": ("state", "currency", "kind", "revenue_method"),
    "time_entry": ("state", "billable"),
    "expense": ("state", "amount.currency", "billable"),
    "invoice": ("state", "currency", "lines[].kind", "lines[].tax_code"),
    "payment": ("state", "amount.currency", "method"),
}
#: The newest records that are looked at.
MOST_RECORDS = 20_000

_decode = msgspec.json.Decoder().decode


def variants(connection: Connection, entity: str, region: str) -> tuple[int, tuple[Variant, ...]]:
    """How many records were looked at, and each kind with its counts."""
    mirrored = exists().where(
        delivery.c.record_id == record.c.id,
        delivery.c.role == "mirror",
        delivery.c.state == DeliveryState.APPLIED.value,
    )
    waits = exists().where(compare.compare_job.c.record_id == record.c.id)
    untold = exists().where(
        compare.diff.c.record_id == record.c.id,
        compare.diff.c.verdict == Verdict.UNVERIFIABLE.value,
        compare.diff.c.resolved_at.is_(None),
    )
    rows = connection.execute(
        select(
            record.c.image,
            record.c.legal_entity,
            or_(mirrored, compared_by_backfill(connection, entity, region)).label("looked_at"),
            waits.label("waits"),
            untold.label("untold"),
        )
        .where(
            record.c.entity == entity,
            record.c.region == region,
            record.c.version > 0,
            record.c.merged_into.is_(None),
        )
        .order_by(record.c.id.desc())
        .limit(MOST_RECORDS)
    ).all()
    seen: Counter[tuple[str, str]] = Counter()
    compared: Counter[tuple[str, str]] = Counter()
    for row in rows:
        found = set(_kinds(entity, {} if row.image is None else _decode(row.image), row.legal_entity))
        seen.update(found)
        if row.looked_at and not row.waits and not row.untold:
            compared.update(found)
    return len(rows), tuple(
        Variant(field=field, value=value, records=count, compared=compared[field, value])
        for (field, value), count in sorted(seen.items())
    )


def _kinds(entity: str, image: Any, legal_entity: str | None) -> Iterator[tuple[str, str]]:
    if legal_entity is not None:
        yield "legal_entity", legal_entity
    for path in KINDS[entity]:
        for value in _values(image, path):
            if value is not None:
                yield path, str(value).lower() if isinstance(value, bool) else str(value)


def _values(found: Any, path: str) -> Iterator[Any]:
    head, _, rest = path.partition(".")
    members: Mapping[str, Any] = cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}
    inner: Any = members.get(head.removesuffix("[]"))
    if head.endswith("[]"):
        for each in cast("list[Any]", inner or []):
            yield from _values(each, rest)
    elif rest:
        yield from _values(inner, rest)
    else:
        yield inner
