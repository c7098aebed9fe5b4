"""Stand-ins for what is behind the HTTP face. Grade: they keep records in memory and know nothing of ERPs,
stages that move, or time; they show what the rim hands inwards and let a test say what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.access import Caller
from gateway.canonical import BY_NAME, Entity, record
from gateway.clock import SystemClock, rfc3339
from gateway.compare.observation import Diff, SliceSummary
from gateway.database import Database
from gateway.dispatch.command import Answer, Command, ListQuery, Read, ReadPage
from gateway.dispatch.dead_letters import Narrowed
from gateway.dispatch.replay import Forecast
from gateway.dispatch.replay_runs import Run
from gateway.errors import (
    CannotCancel,
    GatewayError,
    NotAccepted,
    NotFoundHere,
    OperationNotFound,
    RecordNotFound,
    StoreUnavailable,
    Unauthenticated,
    UnknownRegion,
)
from gateway.http.asgi import build
from gateway.ids import SystemIds
from gateway.ledger.slices import Slice, SliceChange
from gateway.routing.stage import Stage, System
from gateway.telemetry import Metrics
from tests.unit.http.fake_backfiller import FakeBackfiller
from tests.unit.http.fake_follower import FakeFollower, FakeHints
from tests.unit.http.fake_guards import FakeGuards
from tests.unit.http.fake_merging import FakeMerging
from tests.unit.http.fake_readiness import FakeReadiness
from tests.unit.http.fake_reconciler import FakeReconciler
from tests.unit.http.fake_repairer import FakeRepairer
from tests.unit.http.fake_schedule import FakeSchedule
from tests.unit.http.fake_switches import FakeSimulation, FakeSwitches
from tests.unit.http.fake_waivers import FakeWaivers

REGIONS = ("DACH", "UK", "US")
BODY_LIMIT = 4096
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

ALL_SCOPES = frozenset({"read", "write", "admin:read", "admin:write", "admin:approve"})
CALLERS = {
    "all": Caller(name="all", key_id="key_1", scopes=ALL_SCOPES),
    "reader": Caller(name="reader", key_id="key_2", scopes=frozenset({"read"})),
    "uk": Caller(name="uk", key_id="key_3", scopes=ALL_SCOPES, regions=frozenset({"UK"})),
    "invoices": Caller(name="invoices", key_id="key_4", scopes=ALL_SCOPES, entities=frozenset({"invoice"})),
}


class FakeKeys:
    async def authenticate(self, authorization: str | None) -> Caller:
        if authorization == "Bearer lost":
            raise StoreUnavailable
        caller = CALLERS.get((authorization or "").removeprefix("Bearer "))
        if caller is None:
            raise Unauthenticated(error="invalid_token")
        return caller


class FakeStore:
    """Executor, reads and operations in one: what was written can be read."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.records: dict[str, dict[str, Any]] = {}
        self.queries: list[ListQuery] = []
        self.traces: list[Mapping[str, str]] = []
        self.refuse: Exception | None = None
        self.status: int | None = None
        self.replayed = False
        self.next_cursor: str | None = None
        self._ids = SystemIds()

    #: There is always room: pressure has its tests with a real gateway.
    crowded = False

    def without_room(self, entity: str, regions: frozenset[str] | None) -> NotAccepted | None:
        return None

    async def write(self, command: Command) -> Answer:
        self.commands.append(command)
        if self.refuse is not None:
            raise self.refuse
        entity = BY_NAME[command.entity]
        created = command.kind == "create"
        record_id = self._ids.new(entity.prefix) if created else command.record_id
        assert record_id is not None
        if not created and record_id not in self.records:
            raise RecordNotFound
        self.records[record_id] = document(entity, record_id, command.body)
        status = self.status or (201 if created else 200)
        return Answer(
            status=status,  # type: ignore[arg-type]
            operation="op_1",
            record_id=record_id,
            stage=Stage.DUAL_WRITE,
            answered_by=None if status == 202 else System.LEGACY,
            version=None if status == 202 else 3,
            body={"id": "op_1"} if status == 202 else self.records[record_id],
            replayed=self.replayed,
        )

    async def one(
        self, entity: Entity, record_id: str, *, regions: frozenset[str] | None, trace: Mapping[str, str]
    ) -> Read:
        self.traces.append(trace)
        if self.refuse is not None:
            raise self.refuse
        found = self.records.get(record_id)
        if found is None or (regions is not None and found["region"] not in regions):
            raise RecordNotFound
        return Read(document=found, version=3, stage=Stage.SHADOW, answered_by=System.LEGACY, pending=1)

    async def by_ref(
        self,
        entity: Entity,
        system: str,
        native_id: str,
        *,
        regions: frozenset[str] | None,
        trace: Mapping[str, str],
    ) -> Read:
        found = document(entity, entity.prefix + "1", {"name": native_id})
        return Read(document=found, version=1, stage=Stage.LEGACY_ONLY, answered_by=System.LEGACY)

    async def page(self, entity: Entity, query: ListQuery, *, trace: Mapping[str, str]) -> ReadPage:
        self.queries.append(query)
        return ReadPage(
            items=tuple(self.records.values()), next_cursor=self.next_cursor, answered_by=(System.LEGACY,)
        )

    async def get(
        self, operation_id: str, *, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> dict[str, Any]:
        if operation_id != "op_1":
            raise OperationNotFound
        return {"id": operation_id, "regions": sorted(regions or ()), "entities": sorted(entities or ())}

    cancel = get


def document(entity: Entity, record_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return record(
        entity,
        id=record_id,
        region="UK",
        legal_entity="UK01",
        version=3,
        state=entity.lifecycle.initial,
        created_at=MOMENT,
        updated_at=MOMENT,
        external_refs={},
        document=dict(body),
    )


def slice_(entity: str, region: str, version: int = 1) -> Slice:
    return Slice(
        entity=entity,
        region=region,
        stage=Stage.LEGACY_ONLY,
        authority=System.LEGACY,
        epoch=1,
        version=version,
        compare_sample=1,
        storable=True,
        draining=False,
        note="",
        updated_at="2026-01-02T03:04:05.000000Z",
    )


class FakeSlices:
    def __init__(self) -> None:
        self.age = 0.1
        self.changes: list[dict[str, Any]] = []
        self.refuse: GatewayError | None = None

    def regions(self) -> tuple[str, ...]:
        return REGIONS

    def places(self, entity: str | None = None) -> tuple[str, ...]:
        return REGIONS

    def within(self, entity: str, region: str) -> tuple[str, ...]:
        return (region,)

    def age_s(self) -> float:
        return self.age

    def cached(self, entity: str, region: str) -> Slice:
        if region not in REGIONS:
            raise UnknownRegion(f"{region!r} is not one of {', '.join(REGIONS)}")
        return slice_(entity, region)

    async def all(self) -> tuple[Slice, ...]:
        return tuple(slice_(entity, region) for entity in ("invoice", "customer") for region in REGIONS)

    async def history(
        self, entity: str, region: str, *, after: int | None = None, limit: int = 50
    ) -> tuple[SliceChange, ...]:
        newest = 7 if after is None else after - 1
        return tuple(
            SliceChange(
                version=version,
                at="2026-01-02T03:04:05.000000Z",
                actor="anna",
                reason="because",
                before=None,
                after={},
                overridden=(),
            )
            for version in range(newest, max(0, newest - limit), -1)
        )

    async def set_stage(self, entity: str, region: str, **change: Any) -> Slice:
        self.changes.append({"entity": entity, "region": region, **change})
        if self.refuse is not None:
            raise self.refuse
        return slice_(entity, region, version=change["expected_version"] + 1)


class FakeAdmin:
    """Journey, deliveries and diffs."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def of(self, record_id: str) -> dict[str, Any]:
        return {
            "record": {"id": record_id, "region": "US"},
            "refs": {},
            "events": [],
            "operations": [],
            "diffs": [],
        }

    async def list(self, **asked: Any) -> Sequence[Mapping[str, Any]]:
        self.asked.append(asked)
        first = 9 if asked["after"] is None else int(asked["after"].removeprefix("dlv_")) - 1
        numbers = range(first, max(0, first - asked["limit"]), -1)
        return [
            {"id": f"dlv_{n}", "entity": "invoice", "region": REGIONS[n % 3], "state": "parked"}
            for n in numbers
        ]

    async def replay(self, delivery_id: str, actor: str, **scope: Any) -> Mapping[str, Any]:
        self.asked.append({"id": delivery_id, "actor": actor, **scope})
        return {"id": delivery_id, "state": "ready"}

    async def page(self, **asked: Any) -> Sequence[Diff]:
        self.asked.append(asked)
        return []

    async def one(self, diff_id: str) -> Diff | None:
        return None

    async def summary(self, **asked: Any) -> Sequence[SliceSummary]:
        self.asked.append(asked)
        return []


class FakeCases:
    """A queue in which nothing waits."""

    async def page(self, narrowed: Any, **asked: Any) -> Sequence[Any]:
        return []

    async def one(self, case_id: str, **scope: Any) -> Any:
        raise NotFoundHere(f"no case {case_id}")

    async def resolve(self, decision: Any) -> Any:
        return await self.one(decision.case_id)

    async def assign(self, case_id: str, owner: str, **scope: Any) -> Any:
        return await self.one(case_id)

    async def comment(self, case_id: str, text: str, **scope: Any) -> Any:
        return await self.one(case_id)


class FakeReplays:
    """Counts and runs as a test has planted them."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.runs: list[Run] = []

    async def forecast(self, narrowed: Narrowed, **scope: Any) -> Forecast:
        self.asked.append({"forecast": narrowed, **scope})
        return Forecast(at=MOMENT, count=0, superseded=0, refused=0, causes=())

    async def start(self, narrowed: Narrowed, *, actor: str, reason: str, **scope: Any) -> Run:
        self.asked.append({"start": narrowed, "actor": actor, "reason": reason, **scope})
        run = replay_run(len(self.runs) + 1, filter=narrowed, actor=actor, reason=reason)
        self.runs.insert(0, run)
        return run

    async def get(self, run_id: str, **scope: Any) -> Run:
        self.asked.append({"get": run_id, **scope})
        for run in self.runs:
            if run.id == run_id:
                return run
        raise NotFoundHere(f"no replay {run_id}")

    async def list(self, *, after: str | None = None, limit: int = 50, **scope: Any) -> Sequence[Run]:
        self.asked.append({"list": after, **scope})
        return [run for run in self.runs if after is None or run.id < after][:limit]

    async def cancel(self, run_id: str, *, actor: str, **scope: Any) -> Run:
        self.asked.append({"cancel": run_id, "actor": actor, **scope})
        run = await self.get(run_id)
        if run.state == "done":
            raise CannotCancel("the replay is done")
        return msgspec.structs.replace(run, state="cancelled", ended_by=actor)


def replay_run(number: int, **more: Any) -> Run:
    told = rfc3339(MOMENT)
    return Run(
        **{
            "id": f"rpl_{number}",
            "state": "running",
            "filter": Narrowed(),
            "actor": "all",
            "reason": "known now",
            "total": 4,
            "replayed": 0,
            "superseded": 0,
            "refused": 0,
            "per_s": 25,
            "created_at": told,
            "updated_at": told,
            "ended_at": None,
            "ended_by": None,
            **more,
        }
    )


class World:
    """One application over fakes."""

    def __init__(self, database: Database | None = None, cases: Any = None) -> None:
        self.cases = cases or FakeCases()
        self.store = FakeStore()
        self.slices = FakeSlices()
        self.admin = FakeAdmin()
        self.replays = FakeReplays()
        self.waivers = FakeWaivers()
        self.switches = FakeSwitches()
        self.merging = FakeMerging()
        self.schedule = FakeSchedule()
        self.guards = FakeGuards()
        self.readiness = FakeReadiness()
        self.simulation = FakeSimulation()
        self.reconciler = FakeReconciler()
        self.repairer = FakeRepairer()
        self.backfiller = FakeBackfiller()
        self.follower = FakeFollower()
        self.hints = FakeHints()
        self.metrics = Metrics()
        self.ready: bool | Exception = True
        self.systems = {"legacy": "up", "cloud": "up"}
        self.database = database or Database("sqlite:///unused.db", clock=SystemClock())

    async def database_ready(self) -> bool:
        if isinstance(self.ready, Exception):
            raise self.ready
        return self.ready

    def app(self, **more: Any) -> Any:
        return build(
            version="0.0.0",
            keys=FakeKeys(),  # type: ignore[arg-type]
            secret=b"s" * 32,
            ids=SystemIds(),
            metrics=self.metrics,
            executor=self.store,
            reads=self.store,
            operations=self.store,
            slices=self.slices,
            switchover=self.slices,
            switches=self.switches,
            schedule=self.schedule,
            guards=self.guards,
            readiness=self.readiness,
            simulation=self.simulation,
            journey=self.admin,
            deliveries=self.admin,
            replays=self.replays,
            reconciler=self.reconciler,
            repairer=self.repairer,
            backfiller=self.backfiller,
            follower=self.follower,
            hints=self.hints,
            diffs=self.admin,
            waivers=self.waivers,
            cases=self.cases,
            merging=self.merging,
            database=self.database,
            database_ready=self.database_ready,
            systems=frozenset({"legacy", "cloud"}),
            systems_state=lambda: self.systems,
            body_limit=BODY_LIMIT,
            wait_default_s=5.0,
            wait_max_s=25.0,
            **more,
        )
