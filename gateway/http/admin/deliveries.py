"""Deliveries: writes on their way to one system, and the replay of one that waits for a person."""

from __future__ import annotations

from gateway import errors
from gateway.access import Cursors
from gateway.canonical import BY_NAME
from gateway.errors import NotFoundHere
from gateway.http import addresses, parameters, query
from gateway.http.admin.listing import Listing, page_of
from gateway.http.exchange import Exchange
from gateway.http.ports import DeliveriesPort
from gateway.http.reply import Reply, ok
from gateway.http.route import Gives, Parameter, Route, Schema
from gateway.ids import DELIVERY
from gateway.ledger.states import DeliveryState


class Deliveries:
    """The handlers of the deliveries."""

    def __init__(self, *, deliveries: DeliveriesPort, cursors: Cursors, systems: frozenset[str]) -> None:
        self._deliveries = deliveries
        self._systems = systems
        self._listing = Listing(cursors, "deliveries")

    async def page(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("state", "system", "entity", "limit", "cursor"))
        limit = query.limit(asked)
        found = await self._deliveries.list(
            state=query.choice(asked, "state", [state.value for state in DeliveryState]),
            system=query.choice(asked, "system", self._systems),
            entity=query.choice(asked, "entity", BY_NAME),
            after=self._listing.after(asked),
            limit=limit + 1,
        )
        caller = exchange.caller
        return self._listing.page(
            asked,
            [item for item in found[:limit] if caller.sees(item["entity"], item["region"])],
            last=found[limit - 1]["id"] if len(found) > limit else None,
        )

    async def replay(self, exchange: Exchange) -> Reply:
        exchange.query()
        delivery_id = exchange.path["id"]
        if not addresses.is_id(delivery_id, DELIVERY):
            raise NotFoundHere(f"an id of a delivery begins with {DELIVERY}")
        caller = exchange.caller
        return ok(
            await self._deliveries.replay(
                delivery_id, caller.name, regions=caller.regions, entities=caller.entities
            )
        )

    def routes(self) -> tuple[Route, ...]:
        delivery: Schema = {"$ref": "#/components/schemas/Delivery"}

        def choice(name: str, allowed: list[str], description: str) -> Parameter:
            return Parameter(
                name=name, where="query", schema={"type": "string", "enum": allowed}, description=description
            )

        return (
            Route(
                method="GET",
                path="/admin/v1/deliveries",
                name="list_deliveries",
                tag="deliveries",
                summary="Writes on their way to one system",
                scope="admin:read",
                handle=self.page,
                parameters=(
                    choice("state", [state.value for state in DeliveryState], "Only in this state."),
                    choice("system", sorted(self._systems), "Only to this system."),
                    choice("entity", list(BY_NAME), "Only of this entity."),
                    *parameters.PAGED,
                    *parameters.TRACE,
                ),
                gives=(Gives(status=200, description="A page", schema=page_of(delivery)),),
                refuses=(errors.ForeignCursor,),
            ),
            Route(
                method="POST",
                path="/admin/v1/deliveries/{id}/replay",
                name="replay_delivery",
                tag="deliveries",
                summary="Send a parked delivery again",
                scope="admin:write",
                handle=self.replay,
                parameters=(
                    parameters.path(
                        "id",
                        {"type": "string", "pattern": f"^{DELIVERY}{addresses.ID}$"},
                        "The id of the delivery.",
                    ),
                    *parameters.TRACE,
                ),
                gives=(Gives(status=200, description="The delivery as it is now", schema=delivery),),
                refuses=(errors.NotFoundHere, errors.CannotReplay),
            ),
        )
