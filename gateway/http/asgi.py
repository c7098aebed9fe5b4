"""Puts the HTTP face together: every route, the document of them, and one form for whatever the framework
refuses."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, ControllerRouterHandler

from gateway import errors
from gateway.access import Cursors, Keys
from gateway.database import Database
from gateway.errors import GatewayError
from gateway.http import entities, problems
from gateway.http.admin.audit import Audit
from gateway.http.admin.backfills import Backfills
from gateway.http.admin.cases import Cases
from gateway.http.admin.deliveries import Deliveries
from gateway.http.admin.diffs import Diffs
from gateway.http.admin.feeds import Feeds
from gateway.http.admin.guards import Guards
from gateway.http.admin.merges import Merges
from gateway.http.admin.readiness import Readiness
from gateway.http.admin.reconciliations import Reconciliations
from gateway.http.admin.records import Records
from gateway.http.admin.repairs import Repairs
from gateway.http.admin.replays import Replays
from gateway.http.admin.rules import Rules
from gateway.http.admin.scheduled import ScheduledChanges
from gateway.http.admin.switches import Switches
from gateway.http.admin.waivers import Waivers
from gateway.http.exchange import Exchange
from gateway.http.facade import Facade
from gateway.http.health import Health
from gateway.http.hooks import Hooks
from gateway.http.openapi import document
from gateway.http.operations import Followed
from gateway.http.ports import (
    DeliveriesPort,
    ExecutorPort,
    HintsPort,
    OperationsPort,
    ReadsPort,
)
from gateway.http.reply import Reply
from gateway.http.route import Gives, Route
from gateway.http.schemas import components
from gateway.http.serve import ALWAYS, Rim, instance
from gateway.http.shedding import Shedding
from gateway.ids import Ids
from gateway.ports import (
    BackfillerPort,
    CasesPort,
    DiffsPort,
    FeedsPort,
    GuardsPort,
    JourneyPort,
    MergingPort,
    ReadinessPort,
    ReconcilerPort,
    RepairerPort,
    ReplaysPort,
    SchedulePort,
    SimulationPort,
    SlicesPort,
    SwitchesPort,
    SwitchoverPort,
    WaiversPort,
)
from gateway.routing.cohort import plain_regions
from gateway.telemetry import Metrics

log = logging.getLogger(__name__)

#: What the framework raises by itself, in our words; anything else is told as unexpected.
_FRAMEWORK: Mapping[int, type[GatewayError]] = {
    400: errors.Malformed,
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.RouteNotFound,
    405: errors.MethodNotAllowed,
    413: errors.BodyTooLarge,
    415: errors.MediaTypeUnsupported,
    429: errors.TooManyRequests,
}


def build(
    *,
    version: str,
    keys: Keys,
    secret: bytes,
    ids: Ids,
    metrics: Metrics,
    executor: ExecutorPort,
    reads: ReadsPort,
    operations: OperationsPort,
    slices: SlicesPort,
    switchover: SwitchoverPort,
    switches: SwitchesPort,
    schedule: SchedulePort,
    guards: GuardsPort,
    simulation: SimulationPort,
    readiness: ReadinessPort,
    journey: JourneyPort,
    deliveries: DeliveriesPort,
    replays: ReplaysPort,
    reconciler: ReconcilerPort,
    repairer: RepairerPort,
    backfiller: BackfillerPort,
    follower: FeedsPort,
    hints: HintsPort,
    diffs: DiffsPort,
    waivers: WaiversPort,
    cases: CasesPort,
    merging: MergingPort,
    database: Database,
    database_ready: Callable[[], Awaitable[bool]],
    stopping: Callable[[], bool] = lambda: False,
    systems: frozenset[str],
    systems_state: Callable[[], Mapping[str, str]],
    body_limit: int,
    wait_default_s: float,
    wait_max_s: float,
    handlers: Sequence[ControllerRouterHandler] = (),
    on_startup: Sequence[Callable[[], Awaitable[None]]] = (),
    on_shutdown: Sequence[Callable[[], Awaitable[None]]] = (),
) -> ASGIApp:
    """The ASGI application. ``handlers`` are the console's and other pages'. ``systems_state`` says of each
    ERP ``up`` or ``down`` as it was last seen."""
    cursors = Cursors(secret)
    facade = Facade(
        executor=executor,
        reads=reads,
        slices=slices,
        cursors=cursors,
        systems=systems,
        wait_default_s=wait_default_s,
        wait_max_s=wait_max_s,
    )
    followed = Followed(operations)
    rules = Rules(
        slices=slices, switchover=switchover, schedule=schedule, simulation=simulation, cursors=cursors
    )
    moved = Switches(switches=switches, schedule=schedule, slices=slices, cursors=cursors)
    timed = ScheduledChanges(schedule=schedule, slices=slices, cursors=cursors)
    ready = Readiness(readiness=readiness, slices=slices)
    found = Diffs(diffs=diffs, slices=slices, cursors=cursors)
    accepted = Waivers(waivers=waivers, slices=slices, cursors=cursors)
    waiting = Cases(cases=cases, slices=slices, cursors=cursors)
    sent = Deliveries(deliveries=deliveries, cursors=cursors, systems=systems)
    again = Replays(replays=replays, slices=slices, cursors=cursors, systems=systems)
    reconciled = Reconciliations(reconciler=reconciler, slices=slices, cursors=cursors)
    repaired = Repairs(repairer=repairer, cursors=cursors)
    filled = Backfills(backfiller=backfiller, slices=slices, cursors=cursors)
    feeds = Feeds(follower=follower, slices=slices)
    records = Records(journey)
    merged = Merges(merging=merging, slices=slices, cursors=cursors)
    audit = Audit(database=database, cursors=cursors)
    health = Health(
        database=database_ready,
        stopping=stopping,
        systems=systems_state,
        slices=slices,
        registry=metrics.registry,
    )

    def table(places: tuple[str, ...]) -> tuple[Route, ...]:
        return (
            *entities.routes(facade, components(places), plain_regions(places)),
            *followed.routes(),
            *rules.routes(places),
            *moved.routes(places),
            *timed.routes(places),
            *ready.routes(places),
            *Guards(guards=guards).routes(),
            *found.routes(places),
            *accepted.routes(places),
            *sent.routes(),
            *again.routes(places),
            *reconciled.routes(places),
            *repaired.routes(),
            *filled.routes(places),
            *feeds.routes(places),
            *Hooks(hints).routes(),
            *waiting.routes(places),
            *records.routes(),
            *merged.routes(places),
            *audit.routes(),
            *health.routes(),
        )

    described = Described(slices, version, table)
    rim = Rim(keys=keys, ids=ids, body_limit=body_limit, metrics=metrics)
    app = Litestar(
        route_handlers=[*rim.handlers(described.routes(slices.places())), *handlers],
        exception_handlers={HTTPException: refused, GatewayError: refused, Exception: refused},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=body_limit,
        on_startup=list(on_startup),
        on_shutdown=list(on_shutdown),
        debug=False,
    )
    return Shedding(app, rim=rim, keys=keys, executor=executor)


class Described:
    """The document, made again when the regions or cohorts that rules know have changed."""

    def __init__(
        self, slices: SlicesPort, version: str, table: Callable[[tuple[str, ...]], tuple[Route, ...]]
    ) -> None:
        self._slices = slices
        self._version = version
        self._table = table
        self._made: tuple[tuple[str, ...], bytes] | None = None

    async def get(self, exchange: Exchange) -> Reply:
        exchange.query()
        places = self._slices.places()
        if self._made is None or self._made[0] != places:
            body = msgspec.json.encode(document(self.routes(places), places, version=self._version))
            self._made = (places, body)
        return Reply(200, self._made[1])

    def routes(self, places: tuple[str, ...]) -> tuple[Route, ...]:
        """Every route, the document's own among them. ``places``: the regions and their cohorts."""
        own = Route(
            method="GET",
            path="/openapi.json",
            name="openapi",
            tag="health",
            summary="This document",
            scope=None,
            handle=self.get,
            gives=(Gives(status=200, description="OpenAPI 3.1", schema={"type": "object"}),),
        )
        return (*self._table(places), own)


def refused(request: Request[Any, Any, Any], raised: Exception) -> Response[bytes]:
    """What the framework, or a page, could not answer, as problem+json."""
    if isinstance(raised, GatewayError):
        error = raised
    elif isinstance(raised, HTTPException) and raised.status_code in _FRAMEWORK:
        sent = {name.lower(): value for name, value in (raised.headers or {}).items()}
        facts: dict[str, Any] = {"allow": sent["allow"]} if "allow" in sent else {}
        error = _FRAMEWORK[raised.status_code](**facts)
    else:
        log.error("%s failed", request.scope["path"], exc_info=raised)
        error = GatewayError("something went wrong here, and it is logged")
    reply = problems.render(error, instance=instance(request.scope))
    lines = {name.decode(): value.decode() for name, value in (*ALWAYS, *reply.headers)}
    return Response(reply.body, status_code=reply.status, media_type=reply.media.decode(), headers=lines)
