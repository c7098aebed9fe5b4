"""``twinrun backfill``: what one system of a slice holds brought into the other, followed, paused and resumed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from gateway.app import Gateway
from gateway.backfill.run import OUTCOMES, Act, Outcome, Run, State
from gateway.canonical import BY_NAME
from gateway.cli import codes
from gateway.cli.given import one_of
from gateway.cli.screen import Json, err, put_json, put_table, say
from gateway.cli.session import actor, with_gateway
from gateway.errors import BackfillRunning, Malformed
from gateway.http.admin.backfill_wire import told, told_record

#: Seconds between two looks at a run that others work on.
LOOK_S = 0.2
MOST = 1_000
_FIGURES = (
    "taken",
    "remaining",
    "per s",
    "linked",
    "created",
    "present",
    "ambiguous",
    "blocked",
    "superseded",
)


def start(*, entity: str, region: str, reason: str | None = None, json: Json = False) -> int:
    """Brings what the slice's authority holds into its mirror, and sees it through; workers may take steps of it too.

    Interrupted, it goes on with the workers. Exit code 0: the mirror is complete. 1: something is missing or differs,
    or the run was paused, cancelled or failed.

    Parameters
    ----------
    entity:
        The entity of the slice.
    region:
        The region of the slice.
    reason:
        What it is for; kept in the audit.
    """
    one_of("--entity", entity, tuple(BY_NAME))
    return _shown(
        [with_gateway(lambda gateway: _through(gateway, entity, region, reason, quiet=json))], json=json
    )


def status(
    backfill: str | None = None,
    /,
    *,
    entity: str | None = None,
    region: str | None = None,
    limit: int = 50,
    json: Json = False,
) -> int:
    """Shows one backfill, or those of the slices that fit, the newest first.

    Exit code of one backfill: 0 when its mirror is complete, else 1.

    Parameters
    ----------
    backfill:
        The id of a backfill.
    entity:
        Only of this entity.
    region:
        Only of this region.
    limit:
        How many lines the list has.
    """
    one_of("--entity", entity, tuple(BY_NAME))
    if not 1 <= limit <= MOST:
        raise Malformed(f"--limit {limit}; allowed is 1 to {MOST}")
    if backfill is not None:
        return _shown([with_gateway(lambda gateway: gateway.backfiller.get(backfill))], json=json)

    async def work(gateway: Gateway) -> Sequence[Run]:
        one_of("--region", region, gateway.slices.places())
        return await gateway.backfiller.list(entity=entity, region=region, limit=limit)

    found = with_gateway(work)
    if json:
        put_json({"items": [told(one) for one in found], "next_cursor": None})
    elif found:
        _table(found)
    else:
        say("No backfill fits; `twinrun backfill start` begins one.")
    return codes.PASS


def pause(backfill: str, /, *, reason: str | None = None, json: Json = False) -> int:
    """Lets a backfill rest; what is on its way goes on."""
    return _acted(backfill, Act.PAUSE, reason, json=json)


def resume(backfill: str, /, *, reason: str | None = None, json: Json = False) -> int:
    """Lets a paused backfill go on, with the workers."""
    return _acted(backfill, Act.RESUME, reason, json=json)


def cancel(backfill: str, /, *, reason: str | None = None, json: Json = False) -> int:
    """Ends a backfill early; what it has brought stays."""
    return _acted(backfill, Act.CANCEL, reason, json=json)


def records(
    backfill: str, /, *, outcome: str | None = None, limit: int = 200, json: Json = False
) -> int:
    """Shows what became of each record that a backfill has taken, with the reason.

    Parameters
    ----------
    backfill:
        The id of a backfill.
    outcome:
        Only of this outcome: present, linked, created, ambiguous, blocked or superseded.
    limit:
        How many lines the list has.
    """
    one_of("--outcome", outcome, OUTCOMES)
    if not 1 <= limit <= MOST:
        raise Malformed(f"--limit {limit}; allowed is 1 to {MOST}")
    wanted = None if outcome is None else Outcome(outcome)
    found = with_gateway(lambda gateway: gateway.backfiller.records(backfill, outcome=wanted, limit=limit + 1))
    shown = found[:limit]
    if json:
        put_json({"items": [told_record(one) for one in shown], "next_cursor": None})
        return codes.PASS
    if not shown:
        say("No record fits.")
        return codes.PASS
    put_table(
        ("record", "outcome", "delivery", "case", "why"),
        [(one.record_id, one.outcome.value, one.delivery_state, one.case_id, one.why) for one in shown],
    )
    if len(found) > limit:
        say(f"Those are the first {limit}: --limit takes up to {MOST}, and the console gives all of them as CSV.")
    return codes.PASS


def _acted(run_id: str, act: Act, reason: str | None, *, json: bool) -> int:
    run = with_gateway(lambda gateway: gateway.backfiller.act(run_id, act, actor=actor(), reason=reason))
    _shown([run], json=json)
    return codes.PASS


async def _through(gateway: Gateway, entity: str, region: str, reason: str | None, *, quiet: bool) -> Run:
    """Begins a run, or joins the one that is under way, and sees it through."""
    one_of("--region", region, gateway.slices.places())
    backfiller = gateway.backfiller
    try:
        run = await backfiller.start(entity, region, actor=actor(), reason=reason)
    except BackfillRunning as under_way:
        run = await backfiller.get(str(under_way.facts["backfill"]))
        say(f"{run.id} is under way over {entity} in {region}: followed to its end")
    if not quiet:
        say(f"{run.id}: {run.source} to {run.target}; `twinrun backfill pause {run.id}` lets it rest")
        say("What it creates is sent by the workers: `twinrun serve` or `twinrun worker` has to run.")
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=err(),
        disable=quiet,
    )
    with bar:
        task = bar.add_task(_progress(run), total=None)
        while run.state in (State.RUNNING, State.VERIFYING):
            if not await backfiller.run_once(only=run.id):
                await gateway.clock.sleep(LOOK_S)
            run = await backfiller.get(run.id)
            bar.update(task, description=_progress(run), total=run.total or None, completed=run.read)
    return run


def _progress(run: Run) -> str:
    said = f"{run.phase}: {run.read} of {run.total}, {run.remaining} remaining, {run.per_s:.1f}/s"
    return said if run.note is None else f"{said}; {run.note}"


def _shown(found: Sequence[Run], *, json: bool) -> int:
    if json:
        put_json(told(found[0]))
    else:
        _table(found)
        for one in found:
            if one.state is State.DONE:
                say(f"{one.unlinked} not linked, {one.differs} differ, {one.failed} refused by {one.target}")
    return codes.PASS if all(one.complete for one in found) else codes.DIFFER


def _table(found: Sequence[Run]) -> None:
    put_table(
        ("backfill", "slice", "way", "state", *_FIGURES, "note"),
        [
            (
                one.id,
                f"{one.entity}/{one.region}",
                f"{one.source} to {one.target}",
                one.state.value,
                one.read,
                one.remaining,
                f"{one.per_s:.1f}",
                *(one.linked, one.created, one.present, one.ambiguous, one.blocked, one.superseded),
                one.note,
            )
            for one in found
        ],
        right=_FIGURES,
    )
