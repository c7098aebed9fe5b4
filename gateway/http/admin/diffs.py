"""What comparing the two systems has found: a list, one in detail, and the summary by slice, field and
class."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from gateway import errors
from gateway.access import Cursors
from gateway.canonical import BY_NAME
from gateway.clock import rfc3339
from gateway.compare.observation import Diff
from gateway.compare.verdict import Verdict
from gateway.database import from_micros, to_micros
from gateway.errors import NotFoundHere
from gateway.http import addresses, parameters, query
from gateway.http.admin.listing import Listing, page_of
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply, ok
from gateway.http.route import Gives, Parameter, Route, Schema
from gateway.ports import DiffsPort, SlicesPort

_PREFIX = "dif_"
_MOMENTS = ("at", "last_at", "resolved_at")


class Diffs:
    """The handlers of the diffs."""

    def __init__(self, *, diffs: DiffsPort, slices: SlicesPort, cursors: Cursors) -> None:
        self._diffs = diffs
        self._slices = slices
        self._listing = Listing(cursors, "diffs")

    async def page(self, exchange: Exchange) -> Reply:
        asked = exchange.query(
            ("entity", "region", "verdict", "field", "record_id", "since", "limit", "cursor")
        )
        entity = query.choice(asked, "entity", BY_NAME)
        verdict = query.choice(asked, "verdict", [verdict.value for verdict in Verdict])
        limit = query.limit(asked)
        found = await self._diffs.page(
            entity=entity,
            region=query.region(asked, self._slices.places()),
            regions=exchange.caller.regions,
            verdict=verdict,
            field=query.token(asked, "field"),
            record_id=query.token(asked, "record_id"),
            since=_micros(query.moment(asked, "since")),
            after=self._listing.after(asked),
            limit=limit + 1,
        )
        return self._listing.page(
            asked,
            [shown(diff) for diff in found[:limit] if exchange.caller.sees(diff.entity, diff.region)],
            last=found[limit - 1].id if len(found) > limit else None,
        )

    async def one(self, exchange: Exchange) -> Reply:
        exchange.query()
        diff_id = exchange.path["id"]
        diff = await self._diffs.one(diff_id) if addresses.is_id(diff_id, _PREFIX) else None
        if diff is None or not exchange.caller.sees(diff.entity, diff.region):
            raise NotFoundHere("there is no such diff, or it is outside the key's regions")
        return ok(shown(diff))

    async def summary(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("entity", "region", "since"))
        found = await self._diffs.summary(
            entity=query.choice(asked, "entity", BY_NAME),
            region=query.region(asked, self._slices.places()),
            regions=exchange.caller.regions,
            since=_micros(query.moment(asked, "since")),
        )
        items = [slice_ for slice_ in found if exchange.caller.sees(slice_.entity, slice_.region)]
        return ok({"items": items, "next_cursor": None})

    def routes(self, regions: tuple[str, ...]) -> tuple[Route, ...]:
        slice_ = parameters.slice_filters(regions)
        since = parameters.since("since", "Only what was found, or found again, at or after this moment.")
        diff: Schema = {"$ref": "#/components/schemas/Diff"}
        base = "/admin/v1/diffs"
        return (
            Route(
                method="GET",
                path=base,
                name="list_diffs",
                tag="diffs",
                summary="What comparisons found, the newest first",
                scope="admin:read",
                handle=self.page,
                parameters=(
                    *slice_,
                    Parameter(
                        name="verdict",
                        where="query",
                        schema={"type": "string", "enum": [verdict.value for verdict in Verdict]},
                        description="Only this verdict.",
                    ),
                    Parameter(
                        name="field",
                        where="query",
                        schema=parameters.TOKEN,
                        description="Only where this field parts: `lines[].amount`, or `lines` and more.",
                        example="name",
                    ),
                    Parameter(
                        name="record_id",
                        where="query",
                        schema=parameters.TOKEN,
                        description="Only this record.",
                    ),
                    since,
                    *parameters.PAGED,
                    *parameters.TRACE,
                ),
                gives=(Gives(status=200, description="A page", schema=page_of(diff)),),
                refuses=(errors.UnknownRegion, errors.ForeignCursor),
            ),
            Route(
                method="GET",
                path=base + "/summary",
                name="summarise_diffs",
                tag="diffs",
                summary="Verdicts, fields and money at stake by slice",
                description="Counters are kept by day: `since` counts from the beginning of its day (UTC).",
                scope="admin:read",
                handle=self.summary,
                parameters=(*slice_, since, *parameters.TRACE),
                gives=(
                    Gives(
                        status=200,
                        description="One item a slice",
                        schema=page_of({"$ref": "#/components/schemas/SliceSummary"}),
                    ),
                ),
                refuses=(errors.UnknownRegion,),
            ),
            Route(
                method="GET",
                path=base + "/{id}",
                name="get_diff",
                tag="diffs",
                summary="One diff with its fields side by side",
                scope="admin:read",
                handle=self.one,
                parameters=(
                    parameters.path(
                        "id",
                        {"type": "string", "pattern": f"^{_PREFIX}{addresses.ID}$"},
                        "The id of the diff.",
                    ),
                    *parameters.TRACE,
                ),
                gives=(Gives(status=200, description="The diff", schema=diff),),
                refuses=(errors.NotFoundHere,),
            ),
        )


def shown(diff: Diff) -> dict[str, Any]:
    """A diff in wire form: moments in RFC 3339, amounts as decimal strings."""
    told: dict[str, Any] = msgspec.to_builtins(diff)
    for name in _MOMENTS:
        if told[name] is not None:
            told[name] = rfc3339(from_micros(told[name]))
    return told


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)
