"""Readiness in memory: a slice that fails, one that lacks evidence and one that passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.errors import EvidenceChanged, NotFoundHere
from gateway.readiness import Gate, Outcome, Report
from gateway.readiness.measured import Variant
from gateway.readiness.report import WayBack
from gateway.readiness.signing import Signature
from gateway.readiness.trend import Day
from gateway.routing.stage import Stage


def _gate(name: str, title: str, verdict: Outcome, **more: Any) -> Gate:
    return Gate(name=name, title=title, verdict=verdict, **{"measure": "0", "threshold": "0", **more})


def _report(entity: str, region: str, verdict: Outcome, stage: Stage, way_back: WayBack) -> Report:
    return Report(
        entity=entity,
        region=region,
        stage=stage,
        next=Stage.RAMP_DOWN if stage is Stage.LIVE else Stage.LIVE,
        authority="cloud" if stage is Stage.LIVE else "legacy",
        version=4,
        epoch=2,
        verdict=verdict,
        gates=(
            _gate(
                "compares",
                "Comparisons made",
                Outcome.PASS,
                measure="12,040",
                sample=12040,
                least=100,
                window="7 days",
            ),
            _gate("money", "Records in which money parts", verdict, details=("<i>1080.00</i> GBP",)),
            _gate("coverage", "Kinds of records that were compared", Outcome.INCONCLUSIVE, measure="3 of 4"),
        ),
        variants=(
            Variant(field="currency", value="GBP", records=120, compared=120),
            Variant(field="currency", value="SEK", records=3, compared=0),
        ),
        way_back=way_back,
        evidence_hash="b" * 64,
        at="2026-11-23T09:30:00.000000Z",
    )


class FakeReadiness:
    def __init__(self) -> None:
        stays = WayBack(verdict=None, words="the authority has not moved")
        back = WayBack(verdict=Outcome.PASS, words="it can go back now", not_yet_there=3, lag_p99_s=0.4)
        self.reports = [
            _report("project", "UK", Outcome.FAIL, Stage.SHADOW, stays),
            _report("customer", "AMER", Outcome.PASS, Stage.LIVE, back),
            _report("customer", "UK", Outcome.INCONCLUSIVE, Stage.SHADOW, stays),
        ]

    async def all(
        self,
        *,
        entity: str | None = None,
        region: str | None = None,
        regions: frozenset[str] | None = None,
        **scope: Any,
    ) -> Sequence[Report]:
        return [
            one
            for one in self.reports
            if entity in (None, one.entity)
            and region in (None, one.region)
            and (regions is None or one.region in regions)
        ]

    async def one(self, entity: str, region: str, **scope: Any) -> Report:
        found = await self.all(entity=entity, region=region, **scope)
        if not found:
            raise NotFoundHere(f"there is no slice {entity} in {region}")
        return found[0]

    async def sign(
        self, entity: str, region: str, *, evidence_hash: str, actor: str, **scope: Any
    ) -> Report:
        """Holds the law of the real one that a person can run into: the hash is that of the evidence as it is now."""
        there = await self.one(entity, region)
        if evidence_hash != there.evidence_hash:
            raise EvidenceChanged("the evidence of this report is another by now")
        signature = Signature(signed_by=actor, signed_at="2026-11-23T09:31:00.000000Z")
        return self.put(there, signatures=(signature,))

    def put(self, there: Report, **changes: Any) -> Report:
        after = msgspec.structs.replace(there, **changes)
        self.reports[self.reports.index(there)] = after
        return after

    async def trend(self, entity: str, region: str) -> Sequence[Day]:
        return [
            Day(
                day=f"2026-11-{number:02d}",
                match=100 * number,
                late=number,
                mismatch=1 if number == 22 else 0,
            )
            for number in range(1, 24)
        ]
