"""Puts the room together out of what the composition root has."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adapters.contract import Adapter
from gateway.database import Database
from gateway.dispatch.records import Records
from gateway.dispatch.sender import Sender
from gateway.ids import Ids
from gateway.ledger.slices import Slices
from gateway.proof import Proofs
from gateway.routing.calendar import Calendar
from gateway.settings import Settings
from gateway.switchover.edits import Edits
from gateway.switchover.gates import Gates
from gateway.switchover.switch import Switchover
from gateway.telemetry import Log


def open_switchover(
    *,
    database: Database,
    slices: Slices,
    adapters: Mapping[str, Adapter],
    records: Records,
    proofs: Proofs,
    sender: Sender,
    edits: Edits,
    calendar: Calendar,
    settings: Settings,
    ids: Ids,
    log: Log,
    told: Callable[[], None],
) -> Switchover:
    """``told`` is called after each change of a rule."""

    def quarantine_s(system: str, entity: str) -> float:
        adapter = adapters.get(system)
        return 0.0 if adapter is None else sender.quarantine_s(adapter, entity)

    return Switchover(
        database=database,
        slices=slices,
        gates=Gates(
            database,
            slices=slices,
            adapters=adapters,
            records=records,
            proofs=proofs,
            calendar=calendar,
            log=log,
        ),
        adapters=adapters,
        quarantine_s=quarantine_s,
        edits=edits,
        clock=database.clock,
        ids=ids,
        log=log,
        drain_limit_s=settings.drain_limit_s,
        two_person=settings.two_person,
        told=told,
    )
