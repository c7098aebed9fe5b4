"""One record's whole journey: from the request to both ERPs, step by step."""

from __future__ import annotations

from gateway import errors
from gateway.canonical import ENTITIES
from gateway.errors import RecordNotFound
from gateway.http import addresses, parameters
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply, ok
from gateway.http.route import Gives, Route
from gateway.ports import JourneyPort


class Records:
    """The handlers of records as the operations side sees them."""

    def __init__(self, journey: JourneyPort) -> None:
        self._journey = journey

    async def journey(self, exchange: Exchange) -> Reply:
        exchange.query()
        record_id = exchange.path["id"]
        entity = next((entity for entity in ENTITIES if addresses.is_id(record_id, entity.prefix)), None)
        if entity is None or not exchange.caller.sees_entity(entity.name):
            raise RecordNotFound
        found = await self._journey.of(record_id)
        if not exchange.caller.sees_region(found["record"]["region"]):
            raise RecordNotFound
        return ok(found)

    def routes(self) -> tuple[Route, ...]:
        prefixes = "|".join(entity.prefix for entity in ENTITIES)
        return (
            Route(
                method="GET",
                path="/admin/v1/records/{id}/journey",
                name="get_journey",
                tag="records",
                summary="Every step of one record",
                scope="admin:read",
                handle=self.journey,
                parameters=(
                    parameters.path(
                        "id",
                        {"type": "string", "pattern": f"^({prefixes}){addresses.ID}$"},
                        "The id of the record.",
                    ),
                    *parameters.TRACE,
                ),
                gives=(
                    Gives(
                        status=200,
                        description="The journey, from the first step on",
                        schema={"$ref": "#/components/schemas/Journey"},
                    ),
                ),
                refuses=(errors.RecordNotFound,),
            ),
        )
