"""A firm in the middle of its migration, in memory: what the console reads, without a database and without
ERPs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from litestar import Litestar, get
from litestar.response import Response

from gateway.access import Caller, KeyRow
from gateway.access.caller import implied
from gateway.change_feed import State
from gateway.compare import Diff, DifferenceClass, FieldSummary, Sample, SliceSummary, Stake, Verdict, Why
from gateway.console import console_router, docs_router
from gateway.database import to_micros
from gateway.dispatch.flow import Held, Target
from gateway.dispatch.replay import Forecast
from gateway.errors import (
    FieldError,
    NotFoundHere,
    RecordNotFound,
    RuleRefused,
    RuleVersionMoved,
    Unauthenticated,
    UnknownRegion,
)
from gateway.ledger.slices import Slice, SliceChange
from gateway.proof import Notice
from gateway.repair.run import State as RepairState
from gateway.routing.calendar import Calendar, Freeze
from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage, System
from gateway.routing.transition import gates, is_fenced, judge, moves_authority, violations
from gateway.switchover.simulation import Simulated, SimulatedBreak, SimulatedLoad, SimulatedMove
from tests.console.fake_backfiller import FakeBackfills
from tests.console.fake_readiness import FakeReadiness
from tests.console.fake_reconciler import FakeReconciler
from tests.console.fake_schedule import FakeGuards, FakeSchedule
from tests.console.fake_switches import FakeSwitches
from tests.console.fake_waivers import FakeWaivers
from tests.unit.http.fake_follower import FakeFollower, feed
from tests.unit.http.fake_repairer import AT, FakeRepairer, repair

ENTITIES = ("customer", "project", "resource", "contract", "time_entry", "expense", "invoice", "payment")
REGIONS = ("AMER", "APAC", "EMEA", "UK")
START = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)

FULL = "twk_fullfull_" + "a" * 43
LOOK_ONLY = "twk_looklook_" + "b" * 43
UK_ONLY = "twk_ukukukuk_" + "c" * 43
MACHINE = "twk_machinee_" + "d" * 43


class FakeClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - START).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def key_row(number: int, name: str, *scopes: str, regions: tuple[str, ...] | None = None) -> KeyRow:
    return KeyRow(
        id=f"key_{number}",
        name=name,
        prefix="twk_xxxxxxxx",
        scopes=scopes,
        regions=regions,
        entities=None,
        created_at="2026-11-01T08:00:00.000000Z",
        created_by="test",
    )


class FakeKeys:
    def __init__(self) -> None:
        both = ("admin:read", "admin:write")
        self.rows = {
            FULL: key_row(1, "Ada Migration", *both),
            LOOK_ONLY: key_row(2, "Auditor", "admin:read"),
            UK_ONLY: key_row(3, "UK desk", *both, regions=("UK",)),
            MACHINE: key_row(4, "psa", "read", "write"),
        }

    async def authenticate(self, authorization: str | None) -> Caller:
        row = self.rows.get((authorization or "").removeprefix("Bearer "))
        if row is None or row.revoked_at is not None:
            raise Unauthenticated("this API key is not known, or was revoked")
        regions = None if row.regions is None else frozenset(row.regions)
        scopes = implied(frozenset(row.scopes), row.role)
        return Caller(name=row.name, key_id=row.id, scopes=scopes, regions=regions)

    async def list(self) -> tuple[KeyRow, ...]:
        return tuple(self.rows.values())

    def revoke(self, key: str) -> None:
        self.rows[key] = msgspec.structs.replace(self.rows[key], revoked_at="2026-11-23T09:31:00.000000Z")


# fmt: off
_STAGES = {
    "customer":   ("live", "shadow", "ramp_down", "cloud_only"),
    "project":    ("live", "shadow", "live", "cloud_only"),
    "resource":   ("shadow", "dual_write", "live", "ramp_down"),
    "contract":   ("shadow", "dual_write", "live", "ramp_down"),
    "time_entry": ("shadow", "dual_write", "shadow", "live"),
    "expense":    ("dual_write", "legacy_only", "shadow", "live"),
    "invoice":    ("dual_write", "legacy_only", "shadow", "shadow"),
    "payment":    ("legacy_only", "legacy_only", "dual_write", "shadow"),
}
# fmt: on


class FakeSlices:
    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Slice] = {}
        self.changes: dict[tuple[str, str], list[SliceChange]] = {}
        for entity, stages in _STAGES.items():
            for region, word in zip(REGIONS, stages, strict=True):
                stage = Stage(word)
                self.known[entity, region] = Slice(
                    entity=entity,
                    region=region,
                    stage=stage,
                    authority=PLANS[stage].authority,
                    epoch=1 + (stage.position >= 3),
                    version=stage.position + 1,
                    compare_sample=1,
                    storable=True,
                    draining=(entity, region) == ("contract", "EMEA"),
                    note="",
                    updated_at="2026-11-20T08:00:00.000000Z",
                )
                order = list(Stage)
                self.changes[entity, region] = [
                    SliceChange(
                        version=number + 1,
                        at=f"2026-11-{10 + number:02}T08:15:00.000000Z",
                        actor="Ada Migration" if number else "system",
                        reason="Two weeks without a mismatch" if number else "first start",
                        before={"stage": order[number - 1].value} if number else None,
                        after={"stage": order[number].value},
                        overridden=(),
                    )
                    for number in range(stage.position, -1, -1)
                ]

    async def all(self) -> tuple[Slice, ...]:
        return tuple(self.known.values())

    def places(self, entity: str | None = None) -> tuple[str, ...]:
        return tuple(sorted({region for name, region in self.known if entity in (None, name)}))

    async def history(
        self, entity: str, region: str, *, after: int | None = None, limit: int = 50
    ) -> tuple[SliceChange, ...]:
        if (entity, region) not in self.known:
            raise UnknownRegion(f"no rule for {entity} in {region}")
        return tuple(self.changes[entity, region][:limit])


class FakeSwitchover:
    """Holds the laws of the real one that a person can run into: the version, the steps, and gates that were
    measured."""

    def __init__(self, slices: FakeSlices) -> None:
        self._slices = slices
        self.open_deliveries = {("time_entry", "EMEA"): 7}
        self.calls: list[dict[str, Any]] = []
        self.notices: tuple[Notice, ...] = ()
        self.two_person = False

    async def mapping(self, entity: str, current: Stage, wanted: Stage) -> tuple[Notice, ...] | None:
        return self.notices if "mapping" in gates(current, wanted) else None

    async def set_stage(
        self,
        entity: str,
        region: str,
        *,
        stage: Stage,
        reason: str,
        expected_version: int,
        actor: str,
        override: bool = False,
        compare_sample: int | None = None,
    ) -> Slice:
        self.calls.append({"stage": stage, "reason": reason, "actor": actor, "override": override})
        if self.two_person and is_fenced(self._slices.known[entity, region].stage, stage):
            message = "a move that is fenced needs a second person: request a switch, and have it approved"
            raise RuleRefused(
                message, errors=[FieldError(pointer="/stage", code="approval", message=message)]
            )
        before = self._slices.known[entity, region]
        if before.version != expected_version:
            raise RuleVersionMoved(f"version {expected_version} was changed to {before.version}")
        known = await self.mapping(entity, before.stage, stage)
        facts = {
            "open_deliveries": self.open_deliveries.get((entity, region), 0),
            "crosswalk": 0,
            "mapping": sum(one.blocks for one in known or ()),
        }
        failed = judge(before.stage, stage, facts)
        if failed and not override:
            errors = [FieldError(pointer="/stage", code=one.gate, message=one.message) for one in failed]
            raise RuleRefused(f"{entity} in {region} cannot go to {stage}", errors=errors)
        after = msgspec.structs.replace(
            before,
            stage=stage,
            authority=PLANS[stage].authority,
            version=before.version + 1,
            draining=False,
            compare_sample=before.compare_sample if compare_sample is None else compare_sample,
        )
        self._slices.known[entity, region] = after
        self._slices.changes[entity, region].insert(
            0,
            SliceChange(
                version=after.version,
                at="2026-11-23T09:30:00.000000Z",
                actor=actor,
                reason=reason,
                before={"stage": before.stage.value},
                after={"stage": stage.value},
                overridden=tuple(one.gate for one in failed),
            ),
        )
        return after


class FakeSimulation:
    """Every slice has had a hundred writes, and the draft may break what the real rules say."""

    def __init__(self, slices: FakeSlices) -> None:
        self._slices = slices

    async def run(
        self, draft: Mapping[tuple[str, str], Stage], *, days: int, **scope: Any
    ) -> Simulated:
        stages = {key: one.stage for key, one in self._slices.known.items()}
        moves = tuple(
            SimulatedMove(
                entity=entity,
                region=region,
                from_stage=stages[entity, region],
                to_stage=stage,
                moves_authority=moves_authority(stages[entity, region], stage),
                switches=is_fenced(stages[entity, region], stage),
                gates=tuple(gates(stages[entity, region], stage)),
                leap=abs(stage.position - stages[entity, region].position) > 1,
                frozen=CALENDAR.frozen(entity, region, START.date()),
                writes=100,
                rerouted=100 if moves_authority(stages[entity, region], stage) else 0,
            )
            for (entity, region), stage in draft.items()
        )
        breaks = tuple(
            SimulatedBreak(
                entity=one.entity, depends_on=one.depends_on, region=one.region, message=one.message, writes=100
            )
            for one in violations({**stages, **draft})
        )
        load = (
            SimulatedLoad(system=System.LEGACY, first=3_000, then=200, draft_first=2_900, draft_then=300),
            SimulatedLoad(system=System.CLOUD, first=200, then=3_000, draft_first=300, draft_then=2_900),
        )
        return Simulated(
            since="2026-11-16T09:30:00Z", days=days, writes=3_200, moves=moves, breaks=breaks, load=load
        )


#: The close of a month, and a week of the auditors in which the clock of these tests stands.
CALENDAR = Calendar(
    freezes=(
        Freeze(name="Month-end close", last_days_of_month=2, first_days_of_month=5, entities=("invoice", "payment")),
        Freeze(
            name="Audit",
            first=date(2026, 11, 20),
            last=date(2026, 11, 27),
            regions=("EMEA",),
            note="<b>on site</b>",
        ),
    )
)


class FakeBacklog:
    def __init__(self) -> None:
        empty: dict[str, Any] = {
            "open": 0,
            "parked": 0,
            "unknown": 0,
            "oldest_age_s": None,
            "lag_p99_s": 0.42,
        }
        self.figures: dict[tuple[str, str], Mapping[str, Any]] = {
            (entity, region): {**empty, "lag_p99_s": 0.18 + 0.11 * len(entity) * (number + 1) / 4}
            for entity, stages in _STAGES.items()
            for number, (region, stage) in enumerate(zip(REGIONS, stages, strict=True))
            if PLANS[Stage(stage)].mirror is not None
        }
        self.figures["invoice", "EMEA"] = {
            "open": 214,
            "parked": 3,
            "unknown": 1,
            "oldest_age_s": 341.0,
            "lag_p99_s": 12.4,
        }
        self.figures["time_entry", "EMEA"] = {**empty, "open": 7, "oldest_age_s": 3.2, "lag_p99_s": 2.8}

    async def of_slices(self) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        return self.figures


def micros(**ago: float) -> int:
    return to_micros(START - timedelta(**ago))


def a_diff(number: int, **changed: Any) -> Diff:
    values: dict[str, Any] = {
        "id": f"dif_0193{number:04}",
        "record_id": f"inv_0193a7c2-{number:04}-7d10-9f11-8a6b2c3d4e5f",
        "entity": "invoice",
        "region": "EMEA",
        "verdict": Verdict.MISMATCH,
        "why": None,
        "authority": "legacy",
        "other": "cloud",
        "stage": "shadow",
        "operation_id": f"op_0193a7c2-{number:04}",
        "origin": "write",
        "rechecks": 1,
        "fingerprint": "5f1b0c9e77a24d0b8c11e6aa",
        "differences": (),
        "difference_count": 0,
        "not_compared": ("custom_fields",),
        "money": {},
        "at": micros(hours=5, minutes=number),
        "last_at": micros(minutes=3 * number),
        "times": 1 + number % 4,
        "resolved_at": None,
        "resolved_by": None,
    }
    return Diff(**{**values, **changed})


def _cent() -> tuple[Sample, ...]:
    stake = Stake(amount=Decimal("0.01"), currency="EUR")
    return (
        Sample(
            path="lines[number=2].amount",
            field="lines[].amount",
            kind=DifferenceClass.ROUNDING,
            authority={"amount": "10437.505", "currency": "EUR"},
            other={"amount": "10437.51", "currency": "EUR"},
            stake=Stake(amount=Decimal("0.005"), currency="EUR"),
        ),
        Sample(
            path="total",
            field="total",
            kind=DifferenceClass.AMOUNT,
            authority={"amount": "9999999999.99", "currency": "EUR"},
            other={"amount": "9999999999.98", "currency": "EUR"},
            stake=stake,
        ),
    )


def the_diffs() -> list[Diff]:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    rows = [
        a_diff(1, differences=_cent(), difference_count=2, money={"EUR": Decimal("0.01")}),
        a_diff(
            2,
            entity="customer",
            record_id="cus_0193a7c2-1111-7d10-9f11-8a6b2c3d4e5f",
            region="AMER",
            authority="cloud",
            other="legacy",
            stage="live",
            differences=(
                Sample(
                    path="name",
                    field="name",
                    kind=DifferenceClass.VALUE,
                    authority="Halvorsen & Brekke Advokatfirma ANS, Oslo",
                    other="Halvorsen & Brekke Advokatfirma ANS",
                ),
                Sample(
                    path="email",
                    field="email",
                    kind=DifferenceClass.VALUE,
                    authority="hmac:3f9ac01b77de",
                    other="hmac:91e2240acd55",
                ),
                Sample(
                    path="billing_address.city",
                    field="billing_address.city",
                    kind=DifferenceClass.CASE_OR_SPACE,
                    authority="São  Paulo",
                    other="SÃO PAULO",
                ),
                Sample(
                    path="tax_id",
                    field="tax_id",
                    kind=DifferenceClass.MISSING,
                    authority="NO998877665MVA",
                    other=None,
                ),
            ),
            difference_count=4,
        ),
        a_diff(
            3,
            entity="project",
            record_id="prj_0193a7c2-2222-7d10-9f11-8a6b2c3d4e5f",
            region="EMEA",
            authority="cloud",
            other="legacy",
            stage="live",
            differences=(
                Sample(
                    path="manager_id",
                    field="manager_id",
                    kind=DifferenceClass.REFERENCE_UNRESOLVED,
                    authority="res_0193a7c2-9f11",
                    other={"unresolved": "4711"},
                ),
                Sample(
                    path="name",
                    field="name",
                    kind=DifferenceClass.VALUE,
                    authority=hostile,
                    other="Harbour crossing",
                ),
            ),
            difference_count=2,
        ),
        a_diff(
            4,
            verdict=Verdict.EXPLAINED,
            entity="customer",
            record_id="cus_0193a7c2-3333-7d10-9f11-8a6b2c3d4e5f",
            region="APAC",
            differences=(
                Sample(
                    path="legal_name",
                    field="legal_name",
                    kind=DifferenceClass.VALUE,
                    authority="Murrumbidgee Engineering Consultants Pty",
                    other="Murrumbidgee Engineering Consultant",
                    explained="declared loss: 35 characters",
                ),
            ),
            difference_count=1,
        ),
        a_diff(5, verdict=Verdict.UNVERIFIABLE, why=Why.NO_ANSWER, region="UK"),
    ]
    rows += [
        a_diff(
            number,
            record_id=f"inv_0193a7c2-{number:04}-7d10-9f11-8a6b2c3d4e5f",
            differences=_cent()[:1],
            difference_count=1,
            money={"EUR": Decimal("0.005")},
        )
        for number in range(6, 40)
    ]
    return sorted(rows, key=lambda row: row.id, reverse=True)


def _field(
    field: str, kind: str, verdict: str, count: int, example: str | None = None, **money: str
) -> FieldSummary:
    sums = {currency: Decimal(amount) for currency, amount in money.items()}
    return FieldSummary(
        field=field, kind=kind, verdict=verdict, count=count, share=0.0, money=sums, example=example
    )


def a_summary(
    entity: str, region: str, fields: Sequence[FieldSummary] = (), *, open_: int = 0, **verdicts: int
) -> SliceSummary:
    counted = {verdict.value: verdicts.get(verdict.value, 0) for verdict in Verdict}
    compares = sum(counted.values())
    agreed = counted["match"] + counted["explained"] + counted["late"]
    return SliceSummary(
        entity=entity,
        region=region,
        compares=compares,
        verdicts=counted,
        uncompared={},
        consistency=agreed / compares if compares else None,
        open_mismatches=open_,
        fields=tuple(fields),
    )


class FakeDiffs:
    def __init__(self) -> None:
        self.rows = the_diffs()
        special = {
            ("invoice", "EMEA"): a_summary(
                "invoice",
                "EMEA",
                (
                    _field("lines[].amount", "rounding", "mismatch", 35, "dif_01930039", EUR="0.175"),
                    _field("lines[].tax_code", "code_mapping", "mismatch", 4),
                    _field("total", "amount", "mismatch", 1, "dif_01930001", EUR="0.01"),
                    _field("total", "rounding", "late", 12),
                    _field("custom_fields", "not_compared", "not_compared", 900),
                ),
                open_=36,
                match=18211,
                late=140,
                mismatch=40,
                explained=0,
                unverifiable=3,
            ),
            ("customer", "AMER"): a_summary(
                "customer",
                "AMER",
                (
                    _field("name", "value", "mismatch", 3, "dif_01930002"),
                    _field("email", "value", "mismatch", 2, "dif_01930002"),
                    _field("billing_address.city", "case_or_space", "mismatch", 5, "dif_01930002"),
                    _field("billing_address.line1", "value", "explained", 61),
                    _field("tax_id", "missing", "mismatch", 1, "dif_01930002"),
                ),
                open_=1,
                match=4012,
                explained=61,
                mismatch=8,
                late=9,
            ),
            ("project", "EMEA"): a_summary(
                "project",
                "EMEA",
                (_field("manager_id", "reference_unresolved", "mismatch", 2, "dif_01930003"),),
                open_=1,
                match=2210,
                mismatch=2,
            ),
            ("invoice", "UK"): a_summary(
                "invoice",
                "UK",
                (_field("", "no_answer", "unverifiable", 2, "dif_01930005"),),
                match=911,
                unverifiable=2,
            ),
        }
        self.found = list(special.values()) + [
            a_summary(entity, region, match=300 + 137 * len(entity) * (number + 1), late=number)
            for entity, stages in _STAGES.items()
            for number, (region, stage) in enumerate(zip(REGIONS, stages, strict=True))
            if PLANS[Stage(stage)].mirror is not None and (entity, region) not in special
        ]

    async def summary(
        self, *, entity: str | None, region: str | None, regions: frozenset[str] | None, since: int | None
    ) -> list[SliceSummary]:
        return [
            one
            for one in self.found
            if entity in (None, one.entity)
            and region in (None, one.region)
            and (regions is None or one.region in regions)
        ]

    async def page(
        self,
        *,
        entity: str | None = None,
        region: str | None = None,
        regions: frozenset[str] | None = None,
        verdict: str | None = None,
        field: str | None = None,
        record_id: str | None = None,
        since: int | None = None,
        resolved: bool | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> list[Diff]:
        return [
            row
            for row in self.rows
            if entity in (None, row.entity)
            and region in (None, row.region)
            and (regions is None or row.region in regions)
            and verdict in (None, row.verdict)
            and record_id in (None, row.record_id)
            and (since is None or row.last_at >= since)
            and (field is None or any(one.field.startswith(field) for one in row.differences))
            and (resolved is None or resolved == (row.resolved_at is not None))
            and (after is None or row.id < after)
        ][:limit]

    async def one(self, diff_id: str) -> Diff | None:
        return next((row for row in self.rows if row.id == diff_id), None)


class FakeJourney:
    async def of(self, record_id: str) -> dict[str, Any]:
        if not record_id.startswith("inv_"):
            raise RecordNotFound
        sent = {"attempt": 1, "code": None, "message": None}
        return {
            "record": {
                "id": record_id,
                "entity": "invoice",
                "region": "EMEA",
                "legal_entity": "DE01",
                "version": 2,
                "pending": 0,
                "created_at": "2026-11-23T08:00:00.000000Z",
                "updated_at": "2026-11-23T08:00:02.000000Z",
            },
            "refs": {"legacy": "RE-2026-004711", "cloud": "90001234"},
            "events": [
                {
                    "at": "2026-11-23T08:00:00.000000Z",
                    "event": "accepted",
                    "operation": "op_1",
                    "delivery": None,
                    "detail": None,
                },
                {
                    "at": "2026-11-23T08:00:00.310000Z",
                    "event": "applied",
                    "operation": "op_1",
                    "delivery": "dlv_1",
                    "detail": "RE-2026-004711",
                },
                {
                    "at": "2026-11-23T08:00:01.020000Z",
                    "event": "sent",
                    "operation": "op_1",
                    "delivery": "dlv_2",
                    "detail": "503, tried again",
                },
                {
                    "at": "2026-11-23T08:00:02.000000Z",
                    "event": "applied",
                    "operation": "op_1",
                    "delivery": "dlv_2",
                    "detail": "90001234",
                },
            ],
            "operations": [
                {
                    "id": "op_1",
                    "kind": "create",
                    "state": "settled",
                    "seq": 1,
                    "stage": "shadow",
                    "authority": "legacy",
                    "version": 1,
                    "client": "psa",
                    "marker": "TAAAA",
                    "at": "2026-11-23T08:00:00.000000Z",
                    "deliveries": [
                        {**sent, "id": "dlv_1", "system": "legacy", "role": "authority", "state": "applied"},
                        {
                            **sent,
                            "id": "dlv_2",
                            "system": "cloud",
                            "role": "mirror",
                            "state": "applied",
                            "attempt": 2,
                            "message": "503 Service Unavailable",
                        },
                    ],
                }
            ],
            "diffs": [
                {
                    "id": "dif_01930001",
                    "verdict": "mismatch",
                    "at": "2026-11-23T08:00:09.000000Z",
                    "operation": "op_1",
                    "resolved_at": None,
                }
            ],
        }


class FakeCases:
    """A queue in which nothing waits; the pages of one in which something does are tested on a real journal."""

    async def page(self, narrowed: Any, **asked: Any) -> list[Any]:
        return []

    async def one(self, case_id: str, **scope: Any) -> Any:
        raise NotFoundHere(f"no case {case_id}")

    async def resolve(self, decision: Any) -> Any:
        return await self.one(decision.case_id)

    async def assign(self, case_id: str, owner: str, **scope: Any) -> Any:
        return await self.one(case_id)

    async def comment(self, case_id: str, text: str, **scope: Any) -> Any:
        return await self.one(case_id)


class FakeFlow:
    """Two systems that nothing is on its way to; a flow with dead letters is tested on a real journal."""

    async def targets(self, **scope: Any) -> tuple[Target, ...]:
        return tuple(
            Target(system=name, states={}, oldest_age_s=None, per_minute=0, shut_s=None)
            for name in ("legacy", "cloud")
        )

    async def held(self, **scope: Any) -> Held:
        return Held(lanes=(), count=0)

    async def causes(self, narrowed: Any, **scope: Any) -> tuple[Any, ...]:
        return ()

    async def letters(self, narrowed: Any, **asked: Any) -> tuple[Any, ...]:
        return ()

    async def operation(self, operation_id: str, **scope: Any) -> Any:
        raise NotFoundHere(f"no operation {operation_id}")


class FakeReplays:
    """Nobody has ever sent anything again."""

    async def forecast(self, narrowed: Any, **scope: Any) -> Forecast:
        return Forecast(at=START, count=0, superseded=0, refused=0, causes=())

    async def start(self, narrowed: Any, **asked: Any) -> Any:
        return await self.get("rpl_none")

    async def get(self, run_id: str, **scope: Any) -> Any:
        raise NotFoundHere(f"no replay {run_id}")

    async def list(self, **asked: Any) -> tuple[Any, ...]:
        return ()

    async def cancel(self, run_id: str, **asked: Any) -> Any:
        return await self.get(run_id)


class FakeGateway:
    """Everything that the console is given, and the application around it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.keys = FakeKeys()
        self.slices = FakeSlices()
        self.switchover = FakeSwitchover(self.slices)
        self.backlog = FakeBacklog()
        self.diffs = FakeDiffs()
        self.waivers = FakeWaivers()
        self.switches = FakeSwitches()
        self.schedule = FakeSchedule()
        self.readiness = FakeReadiness()
        self.reconciler = FakeReconciler()
        self.repairer = FakeRepairer()
        for number, state in ((0x901, "planned"), (0x902, "requested")):
            asked = {"requested_by": "Grace", "requested_at": AT, "expires_at": AT}
            one = repair(number, reconciliation="rcn_2", state=RepairState(state), **asked)
            self.repairer.repairs[one.id] = one
        self.backfiller = FakeBackfills()
        self.follower = FakeFollower()
        self.follower.feeds = [
            feed(),
            feed("cloud", state=State.FAILING, why="cloud: Unavailable: <b>no answer</b>", open_conflicts=0),
            feed("cloud", region="EMEA", state=State.OFF),
        ]

    def asgi(self, *, secure: bool | None = None) -> Litestar:
        @get("/openapi.json", include_in_schema=False, sync_to_thread=False)
        def contract() -> Response[bytes]:
            return Response(_OPENAPI, media_type="application/json")

        console = console_router(
            slices=self.slices,
            backlog=self.backlog,
            diffs=self.diffs,
            waivers=self.waivers,
            switchover=self.switchover,
            switches=self.switches,
            schedule=self.schedule,
            simulation=FakeSimulation(self.slices),
            calendar=CALENDAR,
            readiness=self.readiness,
            guards=FakeGuards(),
            journey=FakeJourney(),
            cases=FakeCases(),
            flow=FakeFlow(),
            replays=FakeReplays(),
            reconciler=self.reconciler,
            repairer=self.repairer,
            backfiller=self.backfiller,
            follower=self.follower,
            health=lambda: {"legacy": "up", "cloud": "down"},
            keys=self.keys,
            secret=b"s" * 32,
            clock=self.clock,
            entities=ENTITIES,
            secure=secure,
        )
        return Litestar(route_handlers=[console, docs_router(), contract], openapi_config=None)


_OPENAPI = msgspec.json.encode(
    {
        "openapi": "3.1.0",
        "info": {
            "title": "Twinrun",
            "version": "1.0.0",
            "description": "One canonical API in front of two ERPs.",
        },
        "paths": {
            "/v1/invoices/{id}": {
                "get": {
                    "tags": ["invoices"],
                    "summary": "One invoice",
                    "parameters": [
                        {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
                    ],
                    "responses": {"200": {"description": "The record"}},
                }
            }
        },
    }
)
