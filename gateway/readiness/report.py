"""The report of a slice: its gates, its verdict, the way back, and the hash of what it rests on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from gateway.change_feed import Follower
from gateway.clock import rfc3339
from gateway.database import Database, from_micros
from gateway.dispatch.backlog import Backlog
from gateway.errors import NotFoundHere
from gateway.ledger import slices
from gateway.ledger.slices import Slice
from gateway.readiness import signing
from gateway.readiness.facts import Shared, measure, next_stage, shared
from gateway.readiness.gates import Gate, Outcome, judge, together
from gateway.readiness.measured import Facts, Variant
from gateway.readiness.signing import Signature
from gateway.readiness.trend import Day, trend
from gateway.routing.calendar import Calendar
from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage


class WayBack(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a slice that has moved can still go back, and what stands in the way. ``verdict`` None: authority has not
    moved."""

    verdict: Outcome | None
    words: str
    not_yet_there: int = 0  #: writes on their way to the system that it would go back to
    parked: int = 0
    mismatched: int = 0
    lag_p99_s: float | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One slice at one moment. ``next`` is the stage that it is judged for. ``signatures`` are of its evidence."""

    entity: str
    region: str
    stage: Stage
    next: Stage | None
    authority: str
    version: int
    epoch: int
    verdict: Outcome
    gates: tuple[Gate, ...]
    variants: tuple[Variant, ...]
    way_back: WayBack
    evidence_hash: str
    at: str
    signatures: tuple[Signature, ...] = ()


class Readiness:
    def __init__(self, *, database: Database, backlog: Backlog, feeds: Follower, calendar: Calendar) -> None:
        self._database = database
        self._backlog = backlog
        self._feeds = feeds
        self._calendar = calendar

    async def all(
        self,
        *,
        entity: str | None = None,
        region: str | None = None,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Sequence[Report]:
        """A report of every slice that may be seen, in the order of the rules."""
        backlog = await self._backlog.of_slices()
        feeds = await self._feeds.list(entity=entity, region=region)

        def unit(connection: Connection) -> list[Report]:
            now = self._database.now(connection)
            there = slices.read(connection)
            stages = {key: one.stage for key, one in there.items()}
            known = shared(connection, stages, backlog, calendar=self._calendar, feeds=feeds, now=now)
            signed = signing.standing(connection, now=now)
            return [
                _report(connection, one, known, signed)
                for key, one in there.items()
                if entity in (None, key[0])
                and region in (None, key[1])
                and (entities is None or key[0] in entities)
                and (regions is None or key[1] in regions)
            ]

        return await self._database.read(unit)

    async def one(
        self,
        entity: str,
        region: str,
        *,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Report:
        """Raises NotFoundHere; a slice outside ``regions`` and ``entities`` is not there."""
        found = await self.all(entity=entity, region=region, regions=regions, entities=entities)
        if not found:
            raise NotFoundHere(f"there is no slice {entity} in {region}")
        return found[0]

    async def sign(
        self,
        entity: str,
        region: str,
        *,
        evidence_hash: str,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Report:
        """Signs the evidence of a slice. Raises NotFoundHere, EvidenceChanged when ``evidence_hash`` is not that of the
        report as it is now, and SecondPersonNeeded for whoever made the last change of its rule."""
        seen = await self.one(entity, region, regions=regions, entities=entities)
        signed = (signing.subject(entity, region), evidence_hash)

        def unit(connection: Connection) -> tuple[Signature, ...]:
            now = self._database.now(connection)
            signing.sign(
                connection,
                entity,
                region,
                now=now,
                evidence=seen.evidence_hash,
                signed=evidence_hash,
                verdict=seen.verdict.value,
                actor=actor,
            )
            return tuple(signing.standing(connection, now=now)[signed])

        return msgspec.structs.replace(seen, signatures=await self._database.transaction(unit))

    async def trend(self, entity: str, region: str) -> Sequence[Day]:
        """How comparing came out, day by day, the last one today."""
        return await self._database.read(
            lambda connection: trend(connection, entity, region, now=self._database.now(connection))
        )


def _report(
    connection: Connection,
    one: Slice,
    known: Shared,
    signed: Mapping[tuple[str, str], Sequence[Signature]],
) -> Report:
    facts = measure(connection, one, known)
    gates = judge(facts)
    verdict = together([gate.verdict for gate in gates])
    evidence = _digest(one, gates)
    return Report(
        entity=one.entity,
        region=one.region,
        stage=one.stage,
        next=next_stage(one.stage),
        authority=one.authority.value,
        version=one.version,
        epoch=one.epoch,
        verdict=verdict,
        gates=gates,
        variants=tuple(facts.variants),
        way_back=way_back(one.stage, facts),
        evidence_hash=evidence,
        at=rfc3339(from_micros(known.now)),
        signatures=tuple(signed.get((signing.subject(one.entity, one.region), evidence), ())),
    )


def way_back(stage: Stage, facts: Facts) -> WayBack:
    """Whether the authority that was can take over again now."""
    if PLANS[stage].authority is PLANS[Stage.LEGACY_ONLY].authority:
        return WayBack(verdict=None, words="the authority has not moved")
    if not facts.paired:
        return WayBack(
            verdict=Outcome.FAIL,
            words="the old system gets no writes any more; going back would be a migration of its own",
        )
    held = not facts.parked and not facts.unknown
    lagging = facts.lag_p99_s is None and facts.open > 0
    verdict = Outcome.INCONCLUSIVE if held and lagging else (Outcome.PASS if held else Outcome.FAIL)
    words = {
        Outcome.PASS: "it can go back now: what is on its way is drained first",
        Outcome.INCONCLUSIVE: "writes wait for the old system, and none has arrived lately",
        Outcome.FAIL: "writes of the new system wait for a person before the old one has them",
    }[verdict]
    return WayBack(
        verdict=verdict,
        words=words,
        not_yet_there=facts.open,
        parked=facts.parked,
        mismatched=facts.mismatched,
        lag_p99_s=facts.lag_p99_s,
    )


def _digest(one: Slice, gates: Sequence[Gate]) -> str:
    """SHA-256 over the rule and each gate with its verdict, its threshold and its evidence. Figures that move with
    traffic are in it only by the verdict that they come to, so that two looks at the same thing carry the same hash."""
    kept = {
        "slice": [one.entity, one.region, one.stage.value, one.version, one.epoch],
        "gates": [[gate.name, gate.verdict.value, gate.threshold, list(gate.evidence)] for gate in gates],
    }
    return hashlib.sha256(msgspec.json.encode(kept, order="sorted")).hexdigest()
