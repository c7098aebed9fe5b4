"""Creates by the thousand: one a line (NDJSON), answered a line each in the same order while the request comes in.

A line is a single create in everything but its dress: the same decoder, the same scopes, the same operation under the
same key, so a line may be sent again alone, and a whole file again after a hang-up. A bounded number of lines is under
way at once; the request is read no faster than they go, so memory does not grow with the file. When the caller hangs
up nothing more is read, and what was accepted by then goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from gateway import errors
from gateway.canonical import Entity
from gateway.http import headers, lines, problems
from gateway.http.bodies import ClientGone, too_large
from gateway.http.examples import EXAMPLES
from gateway.http.exchange import Exchange
from gateway.http.facade import Facade
from gateway.http.held import Held
from gateway.http.parameters import PREFER, TRACE
from gateway.http.reply import Reply
from gateway.http.route import Body, Gives, Route, Schema
from gateway.http.serve import told

MEDIA = ("application/x-ndjson", "application/ndjson", "application/jsonl")
#: Lines under way at once: as many as share one commit.
AT_ONCE = 64


class Bulk:
    """The handler of bulk creates."""

    def __init__(self, facade: Facade, *, at_once: int = AT_ONCE) -> None:
        self._facade = facade
        self._at_once = at_once

    async def create(self, exchange: Exchange, entity: Entity) -> Reply:
        exchange.query()
        exchange.may_see(entity.name)
        if exchange.header("Idempotency-Key") is not None:
            raise headers.header_wrong(
                "Idempotency-Key", f"does not belong here: each line has its own, as its {lines.KEY}"
            )
        parts = exchange.parts(MEDIA)
        # The first part is waited for, so that one who asks whether to go on (Expect: 100-continue) is answered.
        first = await anext(parts, b"")
        run = _Run(exchange, entity, self._facade, at_once=self._at_once)
        reply = Reply(200, media=MEDIA[0].encode("ascii"), stream=lambda send: run.answer(first, parts, send))
        if (applied := self._facade.preference(exchange).applied) is not None:
            reply.header("preference-applied", applied)
        return reply


class _Run:
    """One request on its way through."""

    def __init__(self, exchange: Exchange, entity: Entity, facade: Facade, *, at_once: int) -> None:
        self._exchange = exchange
        self._entity = entity
        self._facade = facade
        self._room = asyncio.Semaphore(at_once)
        self._begun: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue()
        self._held = Held()
        self._gone = False

    async def answer(
        self, first: bytes, parts: AsyncIterator[bytes], send: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """Answers every line. Raises ClientGone when the caller hung up before all were sent."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(tasks, first, parts))
                tasks.create_task(self._put_in_order())
                while block := await self._held.take():
                    await send(block)
        finally:
            self._held.close()
        if self._gone:
            raise ClientGone

    async def _read(self, tasks: asyncio.TaskGroup, first: bytes, parts: AsyncIterator[bytes]) -> None:
        splitter = lines.Splitter(self._exchange.body_limit)
        try:
            for line in splitter.feed(first):
                await self._begin(tasks, line)
            async for part in parts:
                for line in splitter.feed(part):
                    await self._begin(tasks, line)
            for line in splitter.close():
                await self._begin(tasks, line)
        except ClientGone:
            # What it had begun to send of the line after that is nobody's wish.
            self._gone = True
        self._begun.put_nowait(None)

    async def _begin(self, tasks: asyncio.TaskGroup, line: lines.Line) -> None:
        await self._room.acquire()
        self._begun.put_nowait(tasks.create_task(self._one(line)))

    async def _put_in_order(self) -> None:
        while (task := await self._begun.get()) is not None:
            await self._held.put(await task)
            self._room.release()
        await self._held.end()

    async def _one(self, line: lines.Line) -> bytes:
        key: str | None = None
        try:
            if line.text is None:
                raise too_large(self._exchange.body_limit)
            key, body = lines.opened(line.text, required=self._entity.key_required)
            reply = await self._facade.create_one(self._exchange, self._entity, body, key)
        except Exception as raised:  # noqa: BLE001 - one line's problem, whatever it is; the others go on
            reply = told(f"line {line.number} of {name(self._entity)}", self._exchange, raised)
        return lines.answered(line.number, key, reply)


def name(entity: Entity) -> str:
    return f"bulk_create_{entity.collection.replace('-', '_')}"


def route(
    bulk: Bulk, entity: Entity, regions: tuple[str, ...], refuses: tuple[type[errors.GatewayError], ...]
) -> Route:
    """``refuses`` is what a single create can be refused with: here it is one line's problem."""
    one = {
        lines.KEY: f"{entity.name}-1",
        **({"region": regions[0]} if regions else {}),
        **EXAMPLES[entity.name],
    }
    required = "required" if entity.key_required else "optional here"
    kinds = ", ".join(dict.fromkeys(f"`{problems.row(kind).slug}`" for kind in refuses))
    return Route(
        method="POST",
        path=f"/v1/{entity.collection}/bulk",
        name=name(entity),
        tag=entity.collection,
        summary=f"Create many {entity.collection}",
        description=f"NDJSON: one create a line, with its own `{lines.KEY}` ({required}) beside the fields. Answered "
        "in NDJSON, a line for each line and in their order, while the request still comes in. A line is a create "
        "like any other: under the same key it is the same operation, sent alone or in a file, so after a hang-up "
        "the same file may be sent again. Blank lines are skipped; the limit of a body holds for each line; what is "
        f"wrong with a line is its own answer ({kinds}) and the rest goes on. `Prefer` holds for each line.",
        scope="write",
        handle=lambda exchange: bulk.create(exchange, entity),
        parameters=(PREFER, *TRACE),
        body=Body(
            schema=_text(
                {
                    "allOf": [{"$ref": f"#/components/schemas/{entity.draft.__name__}"}],
                    "properties": {
                        lines.KEY: {"type": "string", "minLength": 1, "maxLength": headers.MOST_KEY}
                    },
                    "required": [lines.KEY] if entity.key_required else [],
                }
            ),
            media=MEDIA,
            example=_example(one),
        ),
        gives=(
            Gives(
                status=200,
                description="Each line's answer, in order",
                schema=_text(_line({"$ref": f"#/components/schemas/{entity.record.__name__}"})),
                media=MEDIA[0],
                headers=("Preference-Applied",),
                example=_example(
                    {
                        "line": 1,
                        "status": 202,
                        lines.KEY: one[lines.KEY],
                        "operation": "op_0198f0c2-8f10-7a21-b0c4-5d6e7f8a9b0c",
                        "location": "/v1/operations/op_0198f0c2-8f10-7a21-b0c4-5d6e7f8a9b0c",
                        "retry_after_s": 1,
                    }
                ),
            ),
        ),
    )


def _example(line: object) -> str:
    return msgspec.json.encode(line).decode() + "\n"


def _text(line: Schema) -> Schema:
    """A text whose lines have this schema."""
    return {"type": "string", "contentMediaType": MEDIA[0], "contentSchema": line}


def _line(record: Schema) -> Schema:
    return {
        "type": "object",
        "required": ["line", "status"],
        "properties": {
            "line": {
                "type": "integer",
                "minimum": 1,
                "description": "The number of the line, blank ones counted.",
            },
            "status": {"type": "integer", "description": "What a single create would have been answered."},
            lines.KEY: {"type": "string"},
            "operation": {"type": "string", "description": "The operation that it became."},
            "location": {"type": "string", "description": "The record; for a 202 the operation to follow."},
            "replayed": {"type": "boolean", "description": "It was done before, under the same key."},
            "retry_after_s": {"type": "integer", "minimum": 1},
            "record": record,
            "problem": {"$ref": "#/components/schemas/Problem"},
        },
    }
