"""``twinrun replay``: dead letters counted by cause, and sent again."""

from __future__ import annotations

from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.app import Gateway
from gateway.canonical import BY_NAME
from gateway.cli import codes
from gateway.cli.given import moment, one_of
from gateway.cli.screen import Json, err, out, put_json, put_table, say
from gateway.cli.session import actor, with_gateway
from gateway.dispatch.dead_letters import Narrowed
from gateway.dispatch.replay import Forecast
from gateway.dispatch.replay_runs import Run
from gateway.errors import Malformed
from gateway.http.admin.replays import told_forecast, told_run

#: Seconds between two looks at a run that others may work on, too.
LOOK_S = 0.2


def replay(
    *,
    system: str | None = None,
    entity: str | None = None,
    region: str | None = None,
    code: str | None = None,
    cause: str | None = None,
    since: str | None = None,
    until: str | None = None,
    reason: str | None = None,
    dry_run: Annotated[bool, Parameter(name="--dry-run", negative="")] = False,
    cancel: str | None = None,
    json: Json = False,
) -> int:
    """Sends deliveries again that wait for a person: those that the filters name, at a bounded rate.

    Never over a newer state: where a newer write of the record is in the system, or may be, a delivery of master data
    is superseded and any other is refused. Interrupted, the replay goes on with the workers.

    Exit code 0: all were sent again or superseded. 1: some were refused.

    Parameters
    ----------
    system:
        Only those on their way to this system.
    entity:
        Only of this entity.
    region:
        Only of this region.
    code:
        Only where the system said this code.
    cause:
        Only this cause, as a dry run names it.
    since:
        Only what came to wait at or after this moment: RFC 3339 or a day.
    until:
        Only what waited by this moment, such as the one that a dry run tells.
    reason:
        Why; kept in the audit. Needed unless it is a dry run.
    dry_run:
        Count by cause, and do nothing.
    cancel:
        The id of a replay that is to send no more.
    """
    narrowed = Narrowed(
        system=system,
        entity=one_of("--entity", entity, tuple(BY_NAME)),
        region=region,
        code=code,
        cause=cause,
        since=moment("--since", since),
        until=moment("--until", until),
    )
    if cancel is not None:
        run = with_gateway(lambda gateway: gateway.replays.cancel(cancel, actor=actor()))
        return _ended(run, json=json)
    if dry_run:
        found = with_gateway(lambda gateway: _forecast(gateway, narrowed))
        if json:
            put_json(msgspec.to_builtins(told_forecast(found)))
        else:
            _print(found)
        return codes.PASS
    if reason is None:
        raise Malformed("--reason is needed: say why they are sent again, or count them with --dry-run")
    return _ended(with_gateway(lambda gateway: _run(gateway, narrowed, reason, quiet=json)), json=json)


async def _forecast(gateway: Gateway, narrowed: Narrowed) -> Forecast:
    _known(gateway, narrowed)
    return await gateway.replays.forecast(narrowed)


async def _run(gateway: Gateway, narrowed: Narrowed, reason: str, *, quiet: bool) -> Run:
    """Begins a replay and sees it through; a worker that is there takes chunks of it as well."""
    _known(gateway, narrowed)
    replays = gateway.replays
    run = await replays.start(narrowed, actor=actor(), reason=reason)
    if not quiet:
        say(f"{run.id}: {run.total} to send again; `twinrun replay --cancel {run.id}` ends it early")
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err(),
        disable=quiet,
    )
    with bar:
        task = bar.add_task("replay", total=run.total)
        while run.state == "running":
            if not await replays.run_once():
                await gateway.clock.sleep(LOOK_S)
            run = await replays.get(run.id)
            bar.update(task, completed=run.done)
    return run


def _known(gateway: Gateway, narrowed: Narrowed) -> None:
    one_of("--system", narrowed.system, tuple(sorted(gateway.adapters)))
    one_of("--region", narrowed.region, gateway.slices.places())


def _ended(run: Run, *, json: bool) -> int:
    if json:
        put_json(msgspec.to_builtins(told_run(run)))
    else:
        left = run.total - run.done
        out().print(
            f"{run.id} is {run.state}: {run.replayed} sent again, {run.superseded} superseded, {run.refused} refused"
            + (f", {left} not decided on" if left else ""),
            markup=False,
        )
        if run.refusals:
            put_table(
                ("delivery", "operation", "refused because"),
                [(one.delivery, one.operation, one.reason) for one in run.refusals],
            )
    return codes.DIFFER if run.refused else codes.PASS


def _print(found: Forecast) -> None:
    if not found.count:
        say("No delivery that these filters name waits for a person.")
        return
    put_table(
        ("cause", "code", "what the system says", "count", "superseded", "refused", "systems", "entities", "regions"),
        [
            (
                one.id, one.code, one.message, one.count, one.superseded, one.refused,
                ", ".join(one.systems), ", ".join(one.entities), ", ".join(one.regions),
            )
            for one in found.causes
        ],
        right=("count", "superseded", "refused"),
    )  # fmt: skip
    sent = found.count - found.superseded - found.refused
    out().print(
        f"\n{found.count} wait: {sent} would be sent again, {found.superseded} superseded, {found.refused} refused. "
        f"Counted up to {told_forecast(found).until}: give it as --until to take no more than these.",
        markup=False,
    )
