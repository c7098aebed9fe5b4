"""The rim: from an ASGI scope to a route's handler and back. Authenticates, refuses in one form, counts.

Litestar gets plain ASGI handlers: it keeps the console, the docs and us apart, and under our prefixes
``match`` finds the route. Between the socket and the handler nothing else is built or validated. (Its own
path parameters do not work for ASGI handlers in 2.25, and it would take ``//`` for ``/``.)
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from litestar.handlers import ASGIRouteHandler
from litestar.types import HTTPScope, Receive, Scope, Send

from gateway.access import Keys
from gateway.errors import GatewayError, MethodNotAllowed, RouteNotFound
from gateway.http import headers, problems
from gateway.http.bodies import ClientGone
from gateway.http.exchange import Exchange
from gateway.http.match import Paths
from gateway.http.reply import Reply
from gateway.http.route import Route
from gateway.ids import Ids
from gateway.telemetry import Metrics

log = logging.getLogger(__name__)

#: On every answer of the API: it is data, for its caller alone, and never a document to be guessed at.
ALWAYS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
#: Everything under these is ours to route; the other paths are single ones.
MOUNTS = ("/v1", "/admin/v1", "/hooks/v1")


class Rim:
    """Makes ASGI handlers of routes."""

    def __init__(self, *, keys: Keys, ids: Ids, body_limit: int, metrics: Metrics) -> None:
        self._keys = keys
        self._ids = ids
        self._body_limit = body_limit
        self._metrics = metrics
        self._paths = Paths(())
        self._counted: dict[tuple[str, str, int], Any] = {}
        self._timed: dict[tuple[str, str], Any] = {}

    def handlers(self, routes: Sequence[Route]) -> list[ASGIRouteHandler]:
        """The handlers that Litestar is given: a mount for each prefix, a plain one for each path outside of
        them.

        Raises ValueError for two routes of the same method at the same path.
        """
        paths = self._paths = Paths(routes)
        for route in routes:
            self._timed[route.path, route.method] = self._metrics.request_s.labels(route.path, route.method)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert scope["type"] == "http"
            began = perf_counter()
            found = paths.find(instance(scope))
            if found is None:
                await self.refuse(scope, send, RouteNotFound())
                return
            place, values = found
            method: str = scope["method"]
            route = place.routes.get(method)
            if route is None:
                allowed = MethodNotAllowed(f"allowed here: {place.allow}", allow=place.allow)
                await self.refuse(scope, send, allowed)
                return
            exchange = self.exchange(scope, receive, values)
            try:
                reply = await self._answer(route, exchange)
                await self.send(send, exchange, reply, bodiless=method == "HEAD")
            except ClientGone:
                return
            self.tell(route.path, route.method, reply.status)
            self._timed[route.path, route.method].observe(perf_counter() - began)

        mounted = [ASGIRouteHandler(prefix, is_mount=True, copy_scope=False)(app) for prefix in MOUNTS]
        plain = [path for path in paths.places if not path.startswith(MOUNTS)]
        return [*mounted, *(ASGIRouteHandler(path, copy_scope=False)(app) for path in plain)]

    def route(self, scope: HTTPScope) -> Route | None:
        """The route that answers this request, if there is one."""
        found = self._paths.find(instance(scope))
        return None if found is None else found[0].routes.get(scope["method"])

    async def refuse(self, scope: HTTPScope, send: Send, error: GatewayError) -> None:
        """Answers ``error`` where no route was reached."""
        exchange = self.exchange(scope, _nothing, {})
        reply = problems.render(error, instance=instance(scope))
        await self.send(send, exchange, reply, bodiless=scope["method"] == "HEAD")
        # Neither the path nor the method is one that we chose, so neither may become a label.
        self.tell("none", "none", reply.status)

    def tell(self, route: str, method: str, status: int) -> None:
        """Counts an answer."""
        counter = self._counted.get((route, method, status))
        if counter is None:
            counter = self._metrics.requests.labels(route, method, str(status))
            self._counted[route, method, status] = counter
        counter.inc()

    async def _answer(self, route: Route, exchange: Exchange) -> Reply:
        try:
            if route.scope is not None:
                exchange.caller = await self._keys.authenticate(exchange.header("Authorization"))
                exchange.caller.require(route.scope)
            return await route.handle(exchange)
        except ClientGone:
            raise
        except Exception as raised:  # noqa: BLE001 - the last resort
            return told(route.name, exchange, raised)

    def exchange(self, scope: HTTPScope, receive: Receive, values: dict[str, str]) -> Exchange:
        sent = next((value for name, value in scope["headers"] if name == b"x-request-id"), None)
        request_id = headers.request_id(sent) or self._ids.new("req_")
        return Exchange(scope, receive, values, request_id=request_id, body_limit=self._body_limit)

    @staticmethod
    async def send(send: Send, exchange: Exchange, reply: Reply, *, bodiless: bool = False) -> None:
        """Sends an answer with what stands on every answer."""
        lines = [*ALWAYS, *reply.headers]
        for name, value in exchange.trace.items():
            lines.append((name.lower().encode("ascii"), value.encode("latin-1")))
        if reply.status not in (204, 304):
            lines.append((b"content-type", reply.media))
            if reply.stream is None:
                lines.append((b"content-length", str(len(reply.body)).encode("ascii")))
        await send({"type": "http.response.start", "status": reply.status, "headers": lines})
        if reply.stream is not None:
            await reply.stream(
                lambda part: send({"type": "http.response.body", "body": part, "more_body": True})
            )
        body = b"" if bodiless else reply.body
        await send({"type": "http.response.body", "body": body, "more_body": False})


def told(what: str, exchange: Exchange, raised: Exception) -> Reply:
    """The answer to ``what`` when this was raised. What nobody expected is told by its id, never by its words."""
    if isinstance(raised, GatewayError) and problems.row(type(raised)).status != 500:
        return problems.render(raised, instance=instance(exchange.scope))
    log.error("%s failed; request id %s", what, exchange.request_id, exc_info=raised)
    return problems.render(
        GatewayError(f"something went wrong here; it is logged as {exchange.request_id}"),
        instance=instance(exchange.scope),
    )


def instance(scope: HTTPScope) -> str:
    """The path that was asked for, as it was sent."""
    return scope["raw_path"].partition(b"?")[0].decode("ascii", "replace")


async def _nothing() -> Any:
    return {"type": "http.disconnect"}
