"""``twinrun reconcile``: the two systems of a slice held against each other, and the records behind each term."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from gateway import spreadsheet
from gateway.app import Gateway
from gateway.canonical import BY_NAME
from gateway.cli import codes
from gateway.cli.given import one_of
from gateway.cli.reconcile_screen import put_records, put_run, put_runs
from gateway.cli.screen import Json, err, put_json, say
from gateway.cli.session import actor, with_gateway
from gateway.errors import Malformed, ReconciliationRunning
from gateway.http.admin.reconciliation_wire import told, told_line, told_record
from gateway.reconcile import Run, Term, TermRecord, Verdict
from gateway.reconcile.sheet import COLUMNS, rows
from gateway.routing.plan import PLANS

#: Seconds between two looks at a run that others work on.
LOOK_S = 0.2
#: Records and runs that are fetched at once.
PIECE = 200
MOST = 1_000
TERMS = tuple(term.value for term in Term)

#: verdict of a run that was seen through -> exit code
_CODES = {Verdict.PASS: codes.PASS, Verdict.FAIL: codes.DIFFER, Verdict.INCONCLUSIVE: codes.UNSURE}
#: The worst of several runs decides.
_WORST = (codes.PASS, codes.UNSURE, codes.DIFFER)


def reconcile(
    *,
    entity: str | None = None,
    region: str | None = None,
    reason: str | None = None,
    source: Annotated[list[str] | None, Parameter(consume_multiple=False, negative="")] = None,
    run: str | None = None,
    term: str | None = None,
    measure: str | None = None,
    currency: str | None = None,
    cancel: str | None = None,
    list_: Annotated[bool, Parameter(name="--list", negative="")] = False,
    limit: int = 50,
    csv: Annotated[bool, Parameter(name="--csv", negative="")] = False,
    json: Json = False,
) -> int:
    """Holds both systems of a slice against each other: counts, control totals, and a bridge that sums to zero.

    Without --entity and --region every slice that keeps two systems is reconciled, one after the other. Interrupted,
    a run goes on with the workers. With --run nothing is begun: that run is shown, or with --term its records.

    A system is read through its adapter, or from a source: an export file or a query of its database, which the
    settings declare under a name as [sources.NAME]. Rows of it that cannot be read are told by line, field and reason.

    Exit code 0: nothing is unexplained. 1: something is. 3: there was nothing to compare, a row of a source could not
    be read, or it could not be seen through.

    Parameters
    ----------
    entity:
        Only slices of this entity.
    region:
        Only slices of this region.
    reason:
        What it is for; kept in the audit.
    source:
        A source to read its system from, instead of through its adapter: an export file or a query of a database that
        the settings declare as [sources.NAME]. Give it again for the other system. Only slices that it has records of
        are reconciled; a row that cannot be read is told by line, field and reason, and with one nothing passes.
    run:
        The id of a reconciliation to show instead of beginning one.
    term:
        Of --run, the records of this term: late, queued, in_case, waived or unexplained.
    measure:
        Of --run, only records with an amount in this measure, such as total.
    currency:
        Of --run, only records with an amount in this currency.
    cancel:
        The id of a reconciliation that is to end early.
    list_:
        List reconciliations, the newest first.
    limit:
        How many lines a list has; a CSV has all.
    csv:
        The records of --run as CSV.
    """
    one_of("--entity", entity, tuple(BY_NAME))
    one_of("--term", term, TERMS)
    if not 1 <= limit <= MOST:
        raise Malformed(f"--limit {limit}; allowed is 1 to {MOST}")
    drill = term is not None or measure is not None or currency is not None or csv
    if drill and run is None:
        raise Malformed(
            "--term, --measure, --currency and --csv take a reconciliation apart: name it with --run"
        )
    if source and (run is not None or cancel is not None or list_):
        raise Malformed("--source begins a reconciliation: leave out --run, --cancel and --list")
    if cancel is not None:
        ended = with_gateway(lambda gateway: gateway.reconciler.cancel(cancel, actor=actor()))
        return _shown([ended], json=json, ended=True)
    if list_:
        _list(entity, region, limit, json=json)
        return codes.PASS
    if run is not None and drill:
        _records(run, None if term is None else Term(term), measure, currency, limit, csv=csv, json=json)
        return codes.PASS
    if run is not None:
        return _shown([with_gateway(lambda gateway: gateway.reconciler.get(run))], json=json)
    found = with_gateway(lambda gateway: _all(gateway, entity, region, reason, source or (), quiet=json))
    return _shown(found, json=json)


async def _all(
    gateway: Gateway,
    entity: str | None,
    region: str | None,
    reason: str | None,
    sources: Sequence[str],
    *,
    quiet: bool,
) -> list[Run]:
    one_of("--region", region, gateway.slices.places())
    named = [
        one
        for one in await gateway.slices.all()
        if entity in (None, one.entity) and region in (None, one.region)
    ]
    # A slice that was named by itself is refused with the reason; of many, those with one system are left out.
    paired = named if len(named) == 1 else [one for one in named if PLANS[one.stage].mirror is not None]
    if not paired:
        raise Malformed(
            "none of these slices keeps two systems: move one to dual_write first, with `twinrun rules set`"
        )
    if len(named) > 1:
        paired = [one for one in paired if gateway.reconciler.has(one.entity, sources)]
        if not paired:
            raise Malformed(f"none of these slices has records in {' and '.join(sources)}")
    return [await _one(gateway, one.entity, one.region, reason, sources, quiet=quiet) for one in paired]


async def _one(
    gateway: Gateway, entity: str, region: str, reason: str | None, sources: Sequence[str], *, quiet: bool
) -> Run:
    """Begins a run, or joins the one that is under way, and sees it through; a worker may take steps of it as well."""
    reconciler = gateway.reconciler
    try:
        run = await reconciler.start(entity, region, actor=actor(), reason=reason, sources=sources)
    except ReconciliationRunning as under_way:
        run = await reconciler.get(str(under_way.facts["reconciliation"]))
        say(f"{run.id} is under way over {entity} in {region}: followed to its end")
    if not quiet:
        say(f"{run.id}: {entity} in {region}; `twinrun reconcile --cancel {run.id}` ends it early")
    bar = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=err(), disable=quiet
    )
    with bar:
        task = bar.add_task(_progress(run), total=None)
        while run.state == "running":
            if not await reconciler.run_once(only=run.id):
                await gateway.clock.sleep(LOOK_S)
            run = await reconciler.get(run.id)
            bar.update(task, description=_progress(run))
    return run


def _progress(run: Run) -> str:
    said = (
        f"{run.phase.value}: {run.read_authority} of {run.authority}, {run.read_mirror} of {run.other} read"
    )
    if unread := sum(use.unreadable for use in run.sources.values()):
        said += f", {unread} rows unreadable"
    if run.ranges:
        said += f", {run.ranges} ranges judged, {run.skipped} of them unchanged"
    if run.suspected:
        said += f", {run.suspected} to be read again"
    return said if run.note is None else f"{said}; waits: {run.note}"


def _list(entity: str | None, region: str | None, limit: int, *, json: bool) -> None:
    async def work(gateway: Gateway) -> Sequence[Run]:
        one_of("--region", region, gateway.slices.places())
        return await gateway.reconciler.list(entity=entity, region=region, limit=limit)

    found = with_gateway(work)
    if json:
        put_json({"items": [told_line(one) for one in found], "next_cursor": None})
    elif found:
        put_runs(found)
    else:
        say("No reconciliation fits; `twinrun reconcile` begins one.")


def _records(
    run_id: str,
    term: Term | None,
    measure: str | None,
    currency: str | None,
    limit: int,
    *,
    csv: bool,
    json: bool,
) -> None:
    async def work(gateway: Gateway) -> list[TermRecord]:
        found: list[TermRecord] = []
        while csv or len(found) < limit:
            piece = await gateway.reconciler.records(
                run_id,
                term=term,
                measure=measure,
                currency=currency,
                after=found[-1].record_id if found else "",
                limit=PIECE if csv else min(PIECE, limit - len(found)),
            )
            found.extend(piece)
            if len(piece) < PIECE:
                break
        return found

    found = with_gateway(work)
    if csv:
        for cells in (COLUMNS, *(cells for one in found for cells in rows(one))):
            sys.stdout.write(spreadsheet.line(cells))
        sys.stdout.flush()
    elif json:
        put_json({"items": [told_record(one) for one in found], "next_cursor": None})
    elif found:
        put_records(found)
    else:
        say("No record fits.")


def _shown(found: Sequence[Run], *, json: bool, ended: bool = False) -> int:
    if json:
        put_json(told(found[0]) if len(found) == 1 else [msgspec.to_builtins(told(one)) for one in found])
    else:
        for one in found:
            put_run(one)
    if ended:
        return codes.PASS
    return max((_code(one) for one in found), key=_WORST.index)


def _code(run: Run) -> int:
    return codes.UNSURE if run.verdict is None else _CODES[run.verdict]
