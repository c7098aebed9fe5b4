"""Whether this process lives, whether it is ready, and its figures. No key is needed, and nothing is given
away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gateway.errors import StoreUnavailable
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply, ok
from gateway.http.route import Gives, Route, Schema
from gateway.ports import SlicesPort

#: Seconds; a copy of the rules older than this may route a read to the wrong system.
RULES_STALE_S = 10.0

_HEALTH: Schema = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"type": "string", "enum": ["ok", "degraded", "not_ready"]},
        "checks": {"type": "object", "additionalProperties": {"type": "string"}},
        "systems": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


class Health:
    """``database`` says whether our own database answers and its migrations are in place; ``stopping`` whether
    this process was told to end; ``systems`` says of each ERP ``up`` or ``down`` as last seen, and asks nobody."""

    def __init__(
        self,
        *,
        database: Callable[[], Awaitable[bool]],
        stopping: Callable[[], bool] = lambda: False,
        systems: Callable[[], Mapping[str, str]],
        slices: SlicesPort,
        registry: CollectorRegistry,
    ) -> None:
        self._database = database
        self._stopping = stopping
        self._systems = systems
        self._slices = slices
        self._registry = registry

    async def live(self, exchange: Exchange) -> Reply:
        exchange.query()
        return ok({"status": "ok"})

    async def ready(self, exchange: Exchange) -> Reply:
        exchange.query()
        try:
            database = "ok" if await self._database() else "migrations are missing"
        except StoreUnavailable:
            database = "does not answer"
        rules = "ok" if self._slices.age_s() <= RULES_STALE_S else "not read for a while"
        systems = dict(self._systems())
        process = "stops" if self._stopping() else "ok"
        ready = database == rules == process == "ok"
        # An ERP that is down is a reason to keep this process in service: it is what accepts and stores
        # meanwhile.
        degraded = any(state != "up" for state in systems.values())
        status = ("degraded" if degraded else "ok") if ready else "not_ready"
        checks = {"database": database, "rules": rules, "process": process}
        body = {"status": status, "checks": checks, "systems": systems}
        return ok(body, status=200 if ready else 503)

    async def metrics(self, exchange: Exchange) -> Reply:
        exchange.query()
        return Reply(200, generate_latest(self._registry), media=CONTENT_TYPE_LATEST.encode("ascii"))

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="GET",
                path="/health/live",
                name="live",
                tag="health",
                summary="Whether the process answers",
                scope=None,
                handle=self.live,
                gives=(Gives(status=200, description="It does", schema=_HEALTH),),
            ),
            Route(
                method="GET",
                path="/health/ready",
                name="ready",
                tag="health",
                summary="Whether the process may get traffic",
                description="Its own database and migrations decide. With an ERP down it is degraded: 200.",
                scope=None,
                handle=self.ready,
                gives=(
                    Gives(status=200, description="It may; degraded where an ERP is down", schema=_HEALTH),
                    Gives(status=503, description="It may not", schema=_HEALTH),
                ),
            ),
            Route(
                method="GET",
                path="/metrics",
                name="metrics",
                tag="health",
                summary="Figures for Prometheus",
                scope=None,
                handle=self.metrics,
                gives=(
                    Gives(
                        status=200,
                        description="The text format of Prometheus",
                        schema={"type": "string"},
                        media="text/plain",
                    ),
                ),
            ),
        )
