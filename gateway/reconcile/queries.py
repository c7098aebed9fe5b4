"""What people ask of reconciliations, on a connection. Nothing is told of a slice outside of the caller's reach."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, func, select

from gateway.compare.observation import Sample
from gateway.database import among
from gateway.errors import NotFoundHere
from gateway.reconcile import store, unreadable
from gateway.reconcile.bridge import Term
from gateway.reconcile.matching import Amount
from gateway.reconcile.run import Phase, Report, Run, TermRecord, Verdict
from gateway.reconcile.tables import reconcile_amount, reconcile_part, reconcile_run

Scope = frozenset[str] | None  #: what a caller may see; None: all


class _Terms(msgspec.Struct):
    """The only part of a report that a list needs; the others are passed over without being made."""

    terms: dict[Term, int]


_report = msgspec.json.Decoder(Report).decode
_terms = msgspec.json.Decoder(_Terms).decode
_samples = msgspec.json.Decoder(tuple[Sample, ...]).decode


def one(
    connection: Connection,
    run_id: str,
    regions: Scope = None,
    entities: Scope = None,
    *,
    lock: bool = False,
) -> Run:
    """The run as it is now. Raises NotFoundHere."""
    query = select(reconcile_run).where(reconcile_run.c.id == run_id, *_reach(regions, entities))
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFoundHere(
            "there is no such reconciliation, or its slice is outside of what this key may see"
        )
    found = _run(row, _suspected(connection, [run_id]).get(run_id, 0))
    return msgspec.structs.replace(found, unreadable=unreadable.of(connection, run_id)) if found.sources else found


def page(
    connection: Connection,
    *,
    entity: str | None,
    region: str | None,
    state: str | None,
    after: str | None,
    limit: int,
    regions: Scope,
    entities: Scope,
) -> Sequence[Run]:
    """Runs from the newest to the oldest, without their reports."""
    runs = reconcile_run.c
    wanted = [
        *_reach(regions, entities),
        *(
            column == value
            for column, value in ((runs.entity, entity), (runs.region, region), (runs.state, state))
            if value is not None
        ),
    ]
    if after is not None:
        wanted.append(runs.id < after)
    query = select(reconcile_run).where(*wanted).order_by(runs.id.desc()).limit(limit)
    rows = connection.execute(query).all()
    suspected = _suspected(connection, [row.id for row in rows if row.state == "running"])
    return [_run(row, suspected.get(row.id, 0), whole=False) for row in rows]


def running(connection: Connection, entity: str, region: str) -> str | None:
    """The run that is under way over this slice."""
    runs = reconcile_run.c
    return connection.execute(
        select(runs.id).where(runs.entity == entity, runs.region == region, runs.state == "running")
    ).scalar_one_or_none()


def epoch_of(connection: Connection, run_id: str) -> int:
    """The authority period that a run is of."""
    return connection.execute(select(reconcile_run.c.epoch).where(reconcile_run.c.id == run_id)).scalar_one()


def last_done(connection: Connection, entity: str, region: str, *, epoch: int) -> Run | None:
    """The last run of a slice that was seen through in this authority period: of another one it would say nothing."""
    runs = reconcile_run.c
    row = connection.execute(
        select(reconcile_run)
        .where(runs.entity == entity, runs.region == region, runs.state == "done", runs.epoch == epoch)
        .order_by(runs.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else _run(row, 0, whole=False)


def records(
    connection: Connection,
    run: Run,
    *,
    term: Term | None,
    measure: str | None,
    currency: str | None,
    after: str,
    limit: int,
) -> Sequence[TermRecord]:
    """Records of the run that part, in the order of their ids behind ``after``."""
    parts, amounts = reconcile_part.c, reconcile_amount.c
    query = select(reconcile_part).where(parts.run_id == run.id, parts.record_id > after)
    if term is not None:
        query = query.where(parts.term == term.value)
    if measure is not None or currency is not None:
        weighing = select(amounts.record_id).where(
            amounts.run_id == run.id, amounts.record_id == parts.record_id
        )
        if measure is not None:
            weighing = weighing.where(amounts.measure == measure)
        if currency is not None:
            weighing = weighing.where(amounts.currency == currency)
        query = query.where(weighing.exists())
    rows = connection.execute(query.order_by(parts.record_id).limit(limit)).all()
    weights: dict[str, list[Amount]] = {}
    found = connection.execute(
        select(reconcile_amount)
        .where(amounts.run_id == run.id, among(amounts.record_id, [row.record_id for row in rows]))
        .order_by(amounts.record_id, amounts.measure, amounts.currency)
    )
    for row in found:
        weights.setdefault(row.record_id, []).append(
            Amount(
                measure=row.measure,
                currency=row.currency,
                authority=Decimal(row.authority),
                mirror=Decimal(row.mirror),
            )
        )
    return [
        TermRecord(
            record_id=row.record_id,
            entity=run.entity,
            kind=row.kind,
            term=None if row.term is None else Term(row.term),
            why=row.why,
            amounts=tuple(weights.get(row.record_id, ())),
            differences=_samples(row.differences),
        )
        for row in rows
    ]


def _reach(regions: Scope, entities: Scope) -> list[ColumnElement[bool]]:
    runs = reconcile_run.c
    return [
        among(column, sorted(names))
        for column, names in ((runs.region, regions), (runs.entity, entities))
        if names is not None
    ]


def _suspected(connection: Connection, run_ids: Sequence[str]) -> dict[str, int]:
    if not run_ids:
        return {}
    parts = reconcile_part.c
    rows = connection.execute(
        select(parts.run_id, func.count())
        .where(among(parts.run_id, run_ids), parts.term.is_(None))
        .group_by(parts.run_id)
    )
    return {row[0]: int(row[1]) for row in rows}


def _run(row: Any, suspected: int, *, whole: bool = True) -> Run:
    return Run(
        suspected=suspected,
        phase=Phase(row.phase),
        verdict=None if row.verdict is None else Verdict(row.verdict),
        terms=None if row.report is None else _terms(row.report).terms,
        report=_report(row.report) if whole and row.report is not None else None,
        sources=store.uses(row.sources),
        **{
            name: getattr(row, name)
            for name in Run.__struct_fields__
            if name not in ("suspected", "phase", "verdict", "terms", "report", "sources", "unreadable")
        },
    )
