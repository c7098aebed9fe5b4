"""Who did what on the operations side."""

from __future__ import annotations

from gateway import errors
from gateway.access import Cursors
from gateway.audit import acts
from gateway.database import Database, to_micros
from gateway.errors import Forbidden
from gateway.http import parameters, query
from gateway.http.admin.listing import Listing, page_of
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply
from gateway.http.route import Gives, Parameter, Route


class Audit:
    """The handlers of the audit."""

    def __init__(self, *, database: Database, cursors: Cursors) -> None:
        self._database = database
        self._listing = Listing(cursors, "audit")

    async def page(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("since", "actor", "action", "limit", "cursor"))
        if exchange.caller.regions is not None or exchange.caller.entities is not None:
            raise Forbidden("the audit covers every region and entity, and this API key does not")
        actor, action = query.token(asked, "actor"), query.token(asked, "action")
        since = query.moment(asked, "since")
        limit = query.limit(asked)
        after = self._listing.after_number(asked)
        found = await self._database.read(
            lambda connection: acts(
                connection,
                since=None if since is None else to_micros(since),
                actor=actor,
                action=action,
                after=after,
                limit=limit + 1,
            )
        )
        items = found[:limit]
        last = str(items[-1].position) if len(found) > limit else None
        return self._listing.page(asked, items, last=last)

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="GET",
                path="/admin/v1/audit",
                name="list_audit",
                tag="audit",
                summary="Who did what, the newest first",
                description="Needs a key that is not limited to regions or entities.",
                scope="admin:read",
                handle=self.page,
                parameters=(
                    parameters.since("since", "Only at or after this moment."),
                    Parameter(
                        name="actor",
                        where="query",
                        schema=parameters.TOKEN,
                        description="Only acts of this one.",
                    ),
                    Parameter(
                        name="action",
                        where="query",
                        schema=parameters.TOKEN,
                        description="Only this kind of act, such as `rule.set` or `key.create`.",
                        example="rule.set",
                    ),
                    *parameters.PAGED,
                    *parameters.TRACE,
                ),
                gives=(
                    Gives(
                        status=200,
                        description="A page",
                        schema=page_of({"$ref": "#/components/schemas/Act"}),
                    ),
                ),
                refuses=(errors.ForeignCursor,),
            ),
        )
