"""Puts the console's pages together. The composition root passes what they read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from litestar import Request, Response, Router
from litestar.exceptions import HTTPException

from gateway.clock import Clock
from gateway.console.assets import packaged
from gateway.console.backfill_pages import BackfillPages
from gateway.console.case_pages import CasePages
from gateway.console.diff_pages import DiffPages
from gateway.console.flow_pages import FlowPages
from gateway.console.guard import Guard, Keyring
from gateway.console.ports import BacklogPort, FlowPort
from gateway.console.readiness_pages import ReadinessPages
from gateway.console.reconciliation_pages import ReconciliationPages
from gateway.console.record_pages import RecordPages
from gateway.console.repair_pages import RepairPages
from gateway.console.respond import Respond
from gateway.console.routing_pages import RoutingPages
from gateway.console.rules_pages import RulesPages
from gateway.console.scheduled_pages import ScheduledPages
from gateway.console.sign_in import SignInPages
from gateway.console.switch_pages import SwitchPages
from gateway.console.view import packaged_view
from gateway.console.waiver_pages import WaiverPages
from gateway.errors import GatewayError
from gateway.ports import (
    BackfillerPort,
    CasesPort,
    DiffsPort,
    FeedsPort,
    GuardsPort,
    JourneyPort,
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
from gateway.routing.calendar import Calendar


def console_router(
    *,
    slices: SlicesPort,
    backlog: BacklogPort,
    diffs: DiffsPort,
    waivers: WaiversPort,
    switchover: SwitchoverPort,
    switches: SwitchesPort,
    schedule: SchedulePort,
    simulation: SimulationPort,
    calendar: Calendar,
    readiness: ReadinessPort,
    guards: GuardsPort,
    journey: JourneyPort,
    cases: CasesPort,
    flow: FlowPort,
    replays: ReplaysPort,
    reconciler: ReconcilerPort,
    repairer: RepairerPort,
    backfiller: BackfillerPort,
    follower: FeedsPort,
    health: Callable[[], Mapping[str, str]],
    keys: Keyring,
    secret: bytes,
    clock: Clock,
    entities: Sequence[str],
    secure: bool | None = None,
) -> Router:
    """Everything below ``/console``. ``secret`` is the deployment's own; ``calendar`` has the freeze windows and
    ``entities`` the order of the rows; ``health`` says of each system ``up`` or ``down`` as it was last seen;
    ``secure`` says that browsers come over HTTPS, where this process cannot see it (behind a proxy)."""
    guard = Guard(keys=keys, secret=secret, clock=clock, secure=secure, places=slices.places)
    respond = Respond(view=packaged_view("/console/static"), guard=guard)
    pages = (
        SignInPages(guard=guard, respond=respond),
        RoutingPages(
            guard=guard,
            respond=respond,
            slices=slices,
            backlog=backlog,
            diffs=diffs,
            switchover=switchover,
            clock=clock,
            entities=entities,
        ),
        DiffPages(guard=guard, respond=respond, diffs=diffs, slices=slices, clock=clock, entities=entities),
        WaiverPages(
            guard=guard,
            respond=respond,
            waivers=waivers,
            diffs=diffs,
            slices=slices,
            clock=clock,
            entities=entities,
        ),
        SwitchPages(
            guard=guard, respond=respond, switches=switches, slices=slices, clock=clock, entities=entities
        ),
        RulesPages(
            guard=guard,
            respond=respond,
            slices=slices,
            switchover=switchover,
            simulation=simulation,
            schedule=schedule,
            guards=guards,
            calendar=calendar,
            clock=clock,
            entities=entities,
        ),
        ScheduledPages(guard=guard, respond=respond, schedule=schedule, clock=clock),
        ReadinessPages(
            guard=guard,
            respond=respond,
            readiness=readiness,
            guards=guards,
            slices=slices,
            clock=clock,
            entities=entities,
        ),
        CasePages(
            guard=guard,
            respond=respond,
            cases=cases,
            diffs=diffs,
            journey=journey,
            slices=slices,
            clock=clock,
            entities=entities,
        ),
        FlowPages(
            guard=guard,
            respond=respond,
            flow=flow,
            replays=replays,
            follower=follower,
            slices=slices,
            health=health,
            clock=clock,
            entities=entities,
        ),
        ReconciliationPages(
            guard=guard,
            respond=respond,
            reconciler=reconciler,
            repairer=repairer,
            slices=slices,
            clock=clock,
            entities=entities,
        ),
        RepairPages(guard=guard, respond=respond, repairer=repairer, clock=clock),
        BackfillPages(
            guard=guard,
            respond=respond,
            backfiller=backfiller,
            slices=slices,
            clock=clock,
            entities=entities,
        ),
        RecordPages(guard=guard, respond=respond, journey=journey),
    )

    # A plain function: Litestar copies a router with all that it holds, and what a bound method holds is the
    # gateway.
    def refused(request: Request[Any, Any, Any], raised: Exception) -> Response[Any]:
        return respond.refused(request, raised)

    return Router(
        path="/console",
        route_handlers=[
            packaged().handler("/static"),
            *(handler for page in pages for handler in page.handlers()),
        ],
        exception_handlers={GatewayError: refused, HTTPException: refused},
        include_in_schema=False,
    )
