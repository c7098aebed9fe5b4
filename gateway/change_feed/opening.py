"""Puts the follower together out of what the composition root has."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adapters.contract import Adapter
from gateway.change_feed.follower import Follower
from gateway.change_feed.looking import Looks
from gateway.change_feed.steps import Steps
from gateway.database import Database
from gateway.dispatch.adoption import Adoption
from gateway.dispatch.records import Records
from gateway.ids import Ids
from gateway.ledger.slices import Slices
from gateway.routing.ruleset import Ruleset
from gateway.settings import Settings
from gateway.telemetry import Log


def open_follower(
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
) -> Follower:
    """``lease_s`` is how long a feed waits for a worker that was killed."""
    steps = Steps(
        database=database,
        adapters=adapters,
        records=records,
        looks=Looks(database=database, adapters=adapters, records=records, adoption=adoption),
        ruleset=ruleset,
        ids=ids,
        period_s=settings.change_feed_period_s,
        settle_s=settings.settle_s,
        told=told,
    )
    return Follower(
        database=database,
        adapters=adapters,
        steps=steps,
        slices=slices,
        clock=database.clock,
        log=log,
        on=settings.change_feed,
        period_s=settings.change_feed_period_s,
        busy=busy,
        lease_s=lease_s,
    )
