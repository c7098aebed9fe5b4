"""Puts a repairer together out of what the composition root has."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adapters.contract import Adapter
from gateway.backfill.opening import bounds_of
from gateway.database import Database
from gateway.dispatch.records import Records
from gateway.dispatch.sides import ErpSides
from gateway.ids import Ids
from gateway.ledger.pressure import Pressure
from gateway.repair.looking import RepairLooks
from gateway.repair.repairer import Repairer
from gateway.repair.steps import Steps
from gateway.settings import Settings
from gateway.telemetry import Log


def open_repairer(
    *,
    database: Database,
    adapters: Mapping[str, Adapter],
    settings: Settings,
    records: Records,
    sides: ErpSides,
    pressure: Pressure,
    ids: Ids,
    log: Log,
    key: bytes,
    lease_s: float,
    busy: Callable[[], bool],
    told: Callable[[], None],
) -> Repairer:
    """``key`` makes the hashes of personal values; ``lease_s`` is how long a repair waits for a worker that was
    killed."""
    bounds = bounds_of(settings, adapters)
    looks = RepairLooks(
        database=database,
        adapters=adapters,
        records=records,
        sides=sides,
        bounds=bounds,
        reachable=lambda system: pressure.shut(system) is None,
        settle_s=settings.settle_s,
        confirm_s=settings.confirm_s,
        key=key,
    )
    taking = Steps(
        database=database,
        adapters=adapters,
        records=records,
        looks=looks,
        ids=ids,
        bounds=bounds,
        settle_s=settings.settle_s,
        told=told,
    )
    return Repairer(
        database=database, taking=taking, clock=database.clock, ids=ids, log=log, busy=busy, lease_s=lease_s
    )
