"""``$batch`` in JSON: parts in order, and groups that are done wholly or not at all."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from adapters.sandbox.cloud.wire import ENCODERS
from adapters.sandbox.faults import Plan
from adapters.sandbox.refusals import Refused
from adapters.sandbox.turns import Reply, Request

if TYPE_CHECKING:
    from adapters.sandbox.cloud.system import CloudSystem

MOST_PARTS = 1000


class Part(msgspec.Struct, kw_only=True):
    id: str
    method: str
    url: str
    atomicityGroup: str | None = None  # noqa: N815 - the name on the wire
    headers: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    body: msgspec.Raw = msgspec.Raw(b"")


class Batch(msgspec.Struct):
    requests: list[Part]


_decoder = msgspec.json.Decoder(Batch)


def answer(system: CloudSystem, request: Request, plan: Plan | None) -> Reply:
    try:
        parts = _decoder.decode(request.body).requests
    except msgspec.DecodeError as broken:
        raise Refused("malformed_body", str(broken)) from None
    if len(parts) > MOST_PARTS:
        raise Refused("malformed_body", f"more than {MOST_PARTS} parts")
    answered: list[dict[str, Any]] = []
    for group, run in groupby(parts, key=lambda part: part.atomicityGroup):
        members = list(run)
        replies = (
            [(part, _one(system, part, request, plan)) for part in members]
            if group is None
            else _together(system, members, request, plan)
        )
        answered.extend(_shown(part, reply) for part, reply in replies)
    return Reply(200, ENCODERS["number"].encode({"responses": answered}), "application/json")


def _together(
    system: CloudSystem, parts: list[Part], request: Request, plan: Plan | None
) -> list[tuple[Part, Reply]]:
    replies: list[tuple[Part, Reply]] = []

    def work() -> bool:
        for part in parts:
            reply = _one(system, part, request, plan)
            replies.append((part, reply))
            if reply.status >= 400:
                return False
        return True

    if system.group(work):
        return replies
    innocent = system.refusal(Refused("group_failed"))
    culprit = len(replies) - 1
    return [(part, replies[n][1] if n == culprit else innocent) for n, part in enumerate(parts)]


def _one(system: CloudSystem, part: Part, request: Request, plan: Plan | None) -> Reply:
    path, _, query = part.url.removeprefix("/odata/v4").removeprefix("/").partition("?")
    headers = {name.lower(): value for name, value in part.headers.items()}
    headers.setdefault("accept", request.headers.get("accept", ""))
    inner = Request(part.method.upper(), path, query, headers, bytes(part.body))
    try:
        route = system.route_of(inner.method, unquote(path))
        if route.op == "batch":
            raise Refused("method", "$batch")
        return system.answer(inner, route, plan)
    except Refused as refused:
        return system.refusal(refused)


def _shown(part: Part, reply: Reply) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": part.id, "status": reply.status, "headers": dict(reply.headers)}
    if part.atomicityGroup is not None:
        shown["atomicityGroup"] = part.atomicityGroup
    if reply.body:
        shown["headers"]["content-type"] = reply.media_type
        shown["body"] = msgspec.Raw(reply.body) if "json" in reply.media_type else reply.body.decode()
    return shown
