"""Readiness: every slice, or one, as JSON, CSV, a workbook, a page or a PDF, whichever is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway import errors
from gateway.canonical import BY_NAME
from gateway.http import bodies, parameters, query
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply, ok
from gateway.http.route import Body, Gives, Route, Schema
from gateway.ports import ReadinessPort, SlicesPort
from gateway.readiness import Outcome, Report, sheet
from gateway.readiness.gates import together

BASE = "/admin/v1/readiness"
JSON = "application/json"
#: The page carries its own style and nothing else.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
#: Kind of media -> what makes it of the reports, and how a browser is to keep it.
_MADE: Mapping[str, tuple[Callable[[Sequence[Report]], bytes], str | None]] = {
    "text/html": (lambda reports: sheet.page(reports).encode(), None),
    "text/csv": (lambda reports: sheet.table(reports).encode(), "readiness.csv"),
    "application/pdf": (sheet.printed, "readiness.pdf"),
    sheet.XLSX: (sheet.workbook, "readiness.xlsx"),
}
MEDIA = (JSON, *_MADE)


class ReadinessTold(msgspec.Struct, frozen=True, kw_only=True):
    """Every slice. ``verdict``: fail if one fails, else inconclusive if one is, else pass."""

    verdict: Outcome
    items: tuple[Report, ...]


class Signing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed: the evidence behind this hash, and nothing else."""

    evidence_hash: Annotated[
        str, Meta(pattern="^[0-9a-f]{64}$", description="of the report that you have looked at")
    ]


class Readiness:
    """The handlers of the readiness."""

    def __init__(self, *, readiness: ReadinessPort, slices: SlicesPort) -> None:
        self._readiness = readiness
        self._slices = slices

    async def all(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("entity", "region"))
        media = exchange.accepts(MEDIA)
        found = await self._readiness.all(
            entity=query.choice(asked, "entity", BY_NAME),
            region=query.region(asked, self._slices.places()),
            regions=exchange.caller.regions,
            entities=exchange.caller.entities,
        )
        whole = ReadinessTold(verdict=together([one.verdict for one in found]), items=tuple(found))
        return _reply(media, whole, found)

    async def one(self, exchange: Exchange) -> Reply:
        exchange.query()
        media = exchange.accepts(MEDIA)
        caller = exchange.caller
        found = await self._readiness.one(
            exchange.path["entity"], exchange.path["region"], regions=caller.regions, entities=caller.entities
        )
        return _reply(media, found, [found])

    async def sign(self, exchange: Exchange) -> Reply:
        exchange.query()
        caller = exchange.caller
        signing = bodies.decode(Signing, await exchange.body())
        return ok(
            await self._readiness.sign(
                exchange.path["entity"],
                exchange.path["region"],
                evidence_hash=signing.evidence_hash,
                actor=caller.name,
                regions=caller.regions,
                entities=caller.entities,
            )
        )

    def routes(self, regions: Sequence[str]) -> tuple[Route, ...]:
        entity_path = parameters.path(
            "entity", {"type": "string", "enum": list(BY_NAME)}, "The name of the entity.", "customer"
        )
        region_schema: Schema = {"type": "string", "enum": list(regions)} if regions else {"type": "string"}
        region_path = parameters.path(
            "region", region_schema, "The code of the region.", regions[0] if regions else None
        )
        description = (
            "Each gate with what was measured, what it may be and how much evidence there was. Too little evidence is "
            f"never a pass. `Accept` chooses between JSON, text/html, text/csv, application/pdf and {sheet.XLSX}."
        )
        return (
            Route(
                method="GET",
                path=BASE,
                name="list_readiness",
                tag="readiness",
                summary="Whether the slices may go on",
                description=description,
                scope="admin:read",
                handle=self.all,
                parameters=(*parameters.slice_filters(regions), *parameters.TRACE),
                gives=_gives({"$ref": "#/components/schemas/ReadinessTold"}, "Every slice"),
                refuses=(errors.UnknownRegion, errors.NotAcceptable),
            ),
            Route(
                method="GET",
                path=BASE + "/{entity}/{region}",
                name="get_readiness",
                tag="readiness",
                summary="Whether one slice may go on, and can go back",
                description=description,
                scope="admin:read",
                handle=self.one,
                parameters=(entity_path, region_path, *parameters.TRACE),
                gives=_gives({"$ref": "#/components/schemas/Report"}, "The slice"),
                refuses=(errors.NotFoundHere, errors.NotAcceptable),
            ),
            Route(
                method="POST",
                path=BASE + "/{entity}/{region}/sign",
                name="sign_readiness",
                tag="readiness",
                summary="Answer for the evidence of a report",
                description="Signs the hash of the report as it is now. The signature stands under the report for as "
                "long as its evidence is what was signed, for half an hour at most, and in the audit for ever. Whoever "
                "made the last change of the rule does not sign.",
                scope="admin:approve",
                handle=self.sign,
                parameters=(entity_path, region_path, *parameters.TRACE),
                body=Body(
                    schema={"$ref": "#/components/schemas/Signing"},
                    media=(JSON,),
                    example={"evidence_hash": "0" * 64},
                ),
                gives=(
                    Gives(
                        status=200,
                        description="The report, signed",
                        schema={"$ref": "#/components/schemas/Report"},
                    ),
                ),
                refuses=(errors.NotFoundHere, errors.SecondPersonNeeded, errors.EvidenceChanged),
            ),
        )


def _gives(schema: Schema, description: str) -> tuple[Gives, ...]:
    return (Gives(status=200, description=description, schema=schema, also=tuple(_MADE)),)


def _reply(media: str, told: Any, reports: Sequence[Report]) -> Reply:
    if media == JSON:
        return ok(told).header("vary", "accept")
    make, name = _MADE[media]
    charset = "; charset=utf-8" if media.startswith("text/") else ""
    reply = Reply(200, make(reports), media=f"{media}{charset}".encode()).header("vary", "accept")
    if name is not None:
        reply.header("content-disposition", f'attachment; filename="{name}"')
    return reply.header("content-security-policy", _POLICY)
