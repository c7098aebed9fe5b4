"""What became of a write, and the withdrawal of one that was not sent yet."""

from __future__ import annotations

from gateway import errors
from gateway.errors import OperationNotFound
from gateway.http import addresses, parameters
from gateway.http.exchange import Exchange
from gateway.http.ports import OperationsPort
from gateway.http.reply import Reply, ok
from gateway.http.route import Gives, Route, Schema
from gateway.ids import OPERATION

_OPERATION: Schema = {"$ref": "#/components/schemas/Operation"}


class Followed:
    """The handlers of operations."""

    def __init__(self, operations: OperationsPort) -> None:
        self._operations = operations

    async def get(self, exchange: Exchange) -> Reply:
        exchange.query()
        caller = exchange.caller
        return ok(await self._operations.get(_id(exchange), regions=caller.regions, entities=caller.entities))

    async def cancel(self, exchange: Exchange) -> Reply:
        exchange.query()
        caller = exchange.caller
        return ok(
            await self._operations.cancel(_id(exchange), regions=caller.regions, entities=caller.entities)
        )

    def routes(self) -> tuple[Route, ...]:
        own_id = parameters.path(
            "id",
            {"type": "string", "pattern": f"^{OPERATION}{addresses.ID}$"},
            "The id of the operation, from Twinrun-Operation or Location.",
            f"{OPERATION}0198f0c2-5b7e-7cc1-9d2a-6d2f5a1f3b10",
        )
        return (
            Route(
                method="GET",
                path="/v1/operations/{id}",
                name="get_operation",
                tag="operations",
                summary="What became of a write",
                description="Its state, its delivery to each system, and what happened when.",
                scope="read",
                handle=self.get,
                parameters=(own_id, *parameters.TRACE),
                gives=(Gives(status=200, description="The operation", schema=_OPERATION),),
                refuses=(errors.OperationNotFound,),
            ),
            Route(
                method="DELETE",
                path="/v1/operations/{id}",
                name="cancel_operation",
                tag="operations",
                summary="Withdraw a write that was not sent yet",
                scope="write",
                handle=self.cancel,
                parameters=(own_id, *parameters.TRACE),
                gives=(Gives(status=200, description="The operation, cancelled", schema=_OPERATION),),
                refuses=(errors.OperationNotFound, errors.CannotCancel),
            ),
        )


def _id(exchange: Exchange) -> str:
    operation_id = exchange.path["id"]
    if not addresses.is_id(operation_id, OPERATION):
        raise OperationNotFound(f"an id of an operation begins with {OPERATION}")
    return operation_id
