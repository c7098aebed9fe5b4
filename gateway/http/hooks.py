"""Webhooks of the systems themselves: a signed word that something has changed, after which it is read there."""

from __future__ import annotations

from gateway import errors
from gateway.change_feed.hints import Signed
from gateway.errors import SignatureWrong
from gateway.http import parameters
from gateway.http.exchange import JSON, Exchange
from gateway.http.ports import HintsPort
from gateway.http.reply import Reply, ok
from gateway.http.route import Body, Gives, Parameter, Route

#: Bytes of a webhook's body: it says what has changed, and is not the record.
BODY_LIMIT = 65_536
_HEADERS = {
    "webhook-id": "Its id, the same when it is sent again.",
    "webhook-timestamp": "When it was sent, in seconds since 1970; within 300 s of our clock.",
    "webhook-signature": "One or several of `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, by spaces.",
}


class Hooks:
    """The handler of webhooks that come in."""

    def __init__(self, hints: HintsPort) -> None:
        self._hints = hints

    async def take(self, exchange: Exchange) -> Reply:
        exchange.query()
        system = exchange.path["system"]
        self._hints.expects(system)
        given = {name: exchange.header(name) or "" for name in _HEADERS}
        missing = [name for name, value in given.items() if not value]
        if missing:
            raise SignatureWrong(f"{', '.join(missing)} is missing")
        body = await exchange.body(limit=BODY_LIMIT)
        heard = await self._hints.hear(
            system,
            Signed(
                id=given["webhook-id"],
                timestamp=given["webhook-timestamp"],
                signature=given["webhook-signature"],
                body=body,
            ),
        )
        return ok(heard, status=202)

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="POST",
                path="/hooks/v1/{system}",
                name="take_webhook",
                tag="webhooks",
                summary="A system says that something has changed in it",
                description="Standard Webhooks 1.0. All that comes of it is that the change feeds of the system are "
                "read now and not at their next turn, those of one entity where `type` begins with its name "
                "(`customer.updated`); nothing of the content is believed. A system without a secret in the settings "
                "is 404. The same id again within seven days is answered well and has no effect.",
                scope=None,
                handle=self.take,
                parameters=(
                    Parameter(
                        name="system",
                        where="path",
                        schema={"type": "string", "maxLength": 40},
                        description="The system's name in the settings.",
                        required=True,
                    ),
                    *(
                        Parameter(
                            name=name,
                            where="header",
                            schema={"type": "string", "minLength": 1},
                            description=words,
                            required=True,
                        )
                        for name, words in _HEADERS.items()
                    ),
                    *parameters.TRACE,
                ),
                body=Body(
                    schema={"type": "object", "properties": {"type": {"type": "string"}}},
                    media=JSON,
                    example={"type": "customer.updated", "timestamp": "2026-03-02T09:00:00Z", "data": {}},
                ),
                gives=(
                    Gives(
                        status=202,
                        description="It is taken, or was before",
                        schema={"$ref": "#/components/schemas/WebhookTaken"},
                    ),
                ),
                refuses=(errors.SignatureWrong, errors.NotFoundHere, errors.StoreUnavailable),
            ),
        )
