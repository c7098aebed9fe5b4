"""Puts a backfiller together out of what the composition root has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from adapters.contract import Adapter
from adapters.profile import load
from gateway.backfill.backfiller import Backfiller
from gateway.backfill.looking import Bound
from gateway.backfill.steps import Steps
from gateway.database import Database
from gateway.dispatch.adoption import Adoption
from gateway.dispatch.records import Records
from gateway.ids import Ids
from gateway.ledger.slices import Slices
from gateway.routing.ruleset import Ruleset
from gateway.settings import Settings
from gateway.telemetry import Log


def bounds_of(settings: Settings, systems: Iterable[str]) -> dict[str, Bound]:
    """What each of these systems bears, as its profile and the settings say."""
    bounds: dict[str, Bound] = {}
    for name in systems:
        limits = load(settings.systems[name].profile).limits
        bounds[name] = Bound(
            requests_per_second=limits.requests_per_second,
            concurrency=settings.systems[name].concurrency or limits.concurrency,
        )
    return bounds


def open_backfiller(
    *,
    database: Database,
    adapters: Mapping[str, Adapter],
    settings: Settings,
    adoption: Adoption,
    records: Records,
    ruleset: Ruleset,
    slices: Slices,
    ids: Ids,
    log: Log,
    lease_s: float,
    busy: Callable[[], bool],
    told: Callable[[], None],
) -> Backfiller:
    """``lease_s`` is how long a run waits for a worker that was killed."""
    steps = Steps(
        database=database,
        adapters=adapters,
        adoption=adoption,
        records=records,
        ruleset=ruleset,
        ids=ids,
        bounds=bounds_of(settings, adapters),
        settle_s=settings.settle_s,
        told=told,
    )
    return Backfiller(
        database=database,
        steps=steps,
        slices=slices,
        clock=database.clock,
        ids=ids,
        log=log,
        busy=busy,
        lease_s=lease_s,
    )
