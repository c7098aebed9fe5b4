"""Readiness as the routes ask for it: one slice that passes but for one gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.errors import EvidenceChanged, NotFoundHere
from gateway.readiness import Gate, Outcome, Report
from gateway.readiness.report import WayBack
from gateway.readiness.signing import Signature
from gateway.routing.stage import Stage


def gate(name: str, verdict: Outcome, **more: Any) -> Gate:
    return Gate(name=name, title=name, verdict=verdict, **{"measure": "0", "threshold": "0", **more})


def report(entity: str = "customer", region: str = "UK", verdict: Outcome = Outcome.FAIL) -> Report:
    return Report(
        entity=entity,
        region=region,
        stage=Stage.SHADOW,
        next=Stage.LIVE,
        authority="legacy",
        version=4,
        epoch=2,
        verdict=verdict,
        gates=(
            gate("compares", Outcome.PASS, measure="1,204", threshold="≥ 100", sample=1204, least=100),
            gate("money", verdict, measure="=1+1", details=("<b>1080.00</b> GBP",)),
        ),
        variants=(),
        way_back=WayBack(verdict=None, words="the authority has not moved"),
        evidence_hash="a" * 64,
        at="2026-11-23T09:30:00.000000Z",
    )


class FakeReadiness:
    def __init__(self) -> None:
        self.reports = [report()]
        self.asked: list[dict[str, Any]] = []

    async def all(self, **asked: Any) -> Sequence[Report]:
        self.asked.append(asked)
        return self.reports

    async def one(self, entity: str, region: str, **asked: Any) -> Report:
        for one in self.reports:
            if (one.entity, one.region) == (entity, region):
                return one
        raise NotFoundHere(f"there is no slice {entity} in {region}")

    async def sign(
        self, entity: str, region: str, *, evidence_hash: str, actor: str, **asked: Any
    ) -> Report:
        there = await self.one(entity, region)
        if evidence_hash != there.evidence_hash:
            raise EvidenceChanged(evidence_hash=there.evidence_hash)
        signature = Signature(signed_by=actor, signed_at="2026-11-23T09:31:00.000000Z")
        self.reports = [msgspec.structs.replace(there, signatures=(signature,))]
        return self.reports[0]
