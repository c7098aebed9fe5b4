"""One record's journey: from the request to both ERPs, and every event on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect

from gateway.console.diff_view import spell
from gateway.console.guard import AnyRequest, Guard
from gateway.console.respond import Respond
from gateway.errors import RecordNotFound
from gateway.ids import OPERATION
from gateway.ports import JourneyPort


class RecordPages:
    def __init__(self, *, guard: Guard, respond: Respond, journey: JourneyPort) -> None:
        self._guard = guard
        self._respond = respond
        self._journey = journey

    def handlers(self) -> list[HTTPRouteHandler]:
        @get("/records", include_in_schema=False)
        async def find(request: AnyRequest) -> Redirect:
            await self._guard.enter(request)
            wanted = request.query_params.get("id", "").strip()
            kept = "operations" if wanted.startswith(OPERATION) else "records"
            address = f"/console/{kept}/{quote(wanted, safe='')}" if wanted else "/console"
            return Redirect(address, status_code=303)

        @get("/records/{record_id:str}", include_in_schema=False)
        async def one(request: AnyRequest, record_id: FromPath[str]) -> Response[str]:
            person = await self._guard.enter(request)
            journey = await self._journey.of(record_id)
            record = cast("Mapping[str, Any]", journey["record"])
            if not person.caller.sees(str(record["entity"]), str(record["region"])):
                raise RecordNotFound(f"no record {record_id[:60]!r}")
            return self._respond.page(
                request,
                person,
                "record.html",
                record=record,
                refs=journey.get("refs") or {},
                events=with_system(journey),
                operations=_list(journey, "operations"),
                diffs=_list(journey, "diffs"),
                spell=spell,
            )

        return [find, one]


def _list(journey: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    return journey.get(name) or ()


def with_system(journey: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The events, each with the system that its delivery went to; None for what concerns no single system."""
    systems = {
        delivery["id"]: delivery["system"]
        for operation in _list(journey, "operations")
        for delivery in operation["deliveries"]
    }
    return [{**event, "system": systems.get(event["delivery"])} for event in _list(journey, "events")]
