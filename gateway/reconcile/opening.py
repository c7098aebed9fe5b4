"""Puts a reconciler together out of what the composition root has."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import msgspec

from adapters.contract import Adapter
from adapters.profile import load
from gateway import __version__
from gateway.canonical import BY_NAME
from gateway.database import Database
from gateway.dispatch.adoption import Adoption
from gateway.dispatch.sides import ErpSides
from gateway.ids import Ids
from gateway.ledger.pressure import Pressure
from gateway.ledger.slices import Slices
from gateway.reconcile.eyes import Eyes
from gateway.reconcile.reading import Reader
from gateway.reconcile.rechecking import Rechecks
from gateway.reconcile.reconciler import Reconciler
from gateway.reconcile.run import SourceUse
from gateway.reconcile.sets import Sets
from gateway.reconcile.sources import open_sources
from gateway.reconcile.steps import Steps
from gateway.reconcile.tally import Side
from gateway.routing.ruleset import Ruleset
from gateway.settings import Settings
from gateway.telemetry import Log

_encode = msgspec.json.Encoder(order="deterministic").encode


def open_reconciler(
    *,
    database: Database,
    adapters: Mapping[str, Adapter],
    settings: Settings,
    adoption: Adoption,
    ruleset: Ruleset,
    sides: ErpSides,
    slices: Slices,
    pressure: Pressure,
    ids: Ids,
    log: Log,
    key: bytes,
    lease_s: float,
    busy: Callable[[], bool],
) -> Reconciler:
    """``key`` makes the hashes of personal values; ``lease_s`` is how long a run waits for a worker that was killed."""
    sources = open_sources(settings)
    eyes = Eyes(
        sides=sides, expect=sides.expect, facts=sides.facts, database=database, sources=sources, key=key
    )
    reader = Reader(
        adapters=adapters,
        sources=sources,
        adoption=adoption,
        ruleset=ruleset,
        database=database,
        eyes=eyes,
        key=key,
    )
    rechecks = Rechecks(
        database=database,
        eyes=eyes,
        key=key,
        settle_s=settings.settle_s,
        confirm_s=settings.confirm_s,
        reachable=lambda system: pressure.shut(system) is None,
    )
    steps = Steps(
        database=database,
        clock=database.clock,
        reader=reader,
        rechecks=rechecks,
        eyes=eyes,
        sets=Sets(sources=sources, adoption=adoption, ruleset=ruleset, database=database, log=log, key=key),
        key=key,
        settle_s=settings.settle_s,
    )

    def scope_of(entity: str, authority: str, other: str, uses: Mapping[Side, SourceUse]) -> str:
        """A hash of everything that decides how the two compare: policy, both profiles, sources and this version."""
        made = hashlib.sha256(__version__.encode())
        made.update(_encode(BY_NAME[entity].policy.rules))
        for system in (authority, other):
            made.update(
                _encode([system, load(settings.systems[system].profile), settings.systems[system].options])
            )
        for one in reader.digests(uses):
            made.update(one.encode())
        return made.hexdigest()

    return Reconciler(
        database=database,
        steps=steps,
        reader=reader,
        slices=slices,
        clock=database.clock,
        ids=ids,
        log=log,
        scope_of=scope_of,
        busy=busy,
        lease_s=lease_s,
    )
