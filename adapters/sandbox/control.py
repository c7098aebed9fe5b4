"""``/_sandbox``: the switches and windows of a simulated ERP beside its own wire. Never faulty or late."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec

from adapters.sandbox.effects import instant
from adapters.sandbox.faults import OF_THE_PORT, Fault
from adapters.sandbox.refusals import Refused
from adapters.sandbox.simulator import Simulator
from adapters.sandbox.turns import Reply, Request

PREFIX = "/_sandbox/"
_encoder = msgspec.json.Encoder(decimal_format="string")


class Edit(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    entity: str
    action: Literal["edit", "insert", "delete"] = "edit"
    key: str = ""
    set: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    touch: bool = True


_faults = msgspec.json.Decoder(Fault)
_edits = msgspec.json.Decoder(Edit)


def answer(simulator: Simulator, request: Request) -> Reply:
    noun, _, rest = request.path.removeprefix(PREFIX).partition("/")
    try:
        match request.method, noun:
            case "GET", "health":
                return _json(200, {"system": simulator.name, "ready": True, "time": instant(simulator.now())})
            case "GET", "stats":
                return _json(200, simulator.stats())
            case "GET", "effects":
                return _effects(simulator, dict(parse_qsl(request.query)))
            case "GET", "faults":
                return _json(200, {"items": simulator.faults.shown()})
            case "POST", "faults":
                return _arm(simulator, request)
            case "DELETE", "faults":
                return _disarm(simulator, rest)
            case "POST", "edit":
                return _edit(simulator, request)
            case _:
                return _error(404, f"there is no {request.method} {request.path}")
    except (msgspec.DecodeError, ValueError) as wrong:
        return _error(400, str(wrong))
    except Refused as refused:
        return _error(refused.reason.status, refused.text)


def _effects(simulator: Simulator, query: dict[str, str]) -> Reply:
    numbers = {name: int(query.pop(name)) for name in ("since", "limit") if name in query}
    unknown = query.keys() - {"marker", "external_id", "entity", "key"}
    if unknown:
        return _error(400, f"unknown parameter {', '.join(sorted(unknown))}")
    items = simulator.effects.read(
        since=numbers.get("since", 0),
        limit=numbers.get("limit", 100_000),
        marker=query.get("marker"),
        external_id=query.get("external_id"),
        entity=query.get("entity"),
        key=query.get("key"),
    )
    return _json(200, {"items": items, "last": len(simulator.effects.entries)})


def _arm(simulator: Simulator, request: Request) -> Reply:
    fault = _faults.decode(request.body)
    unknown = set(fault.entity or ()) - simulator.shelves.keys()
    if unknown:
        return _error(
            400, f"entity: {', '.join(sorted(unknown))} is not one of {', '.join(simulator.shelves)}"
        )
    if not 0 <= fault.probability <= 1:
        return _error(400, "probability: must be from 0 to 1")
    if fault.kind in OF_THE_PORT and (fault.entity or fault.on):
        return _error(400, f"{fault.kind} strikes before a request is read: it takes no entity and no on")
    armed = simulator.faults.arm(fault)
    return _json(201, next(item for item in simulator.faults.shown() if item["id"] == armed.id))


def _disarm(simulator: Simulator, id_: str) -> Reply:
    if not simulator.faults.disarm(id_ or None):
        return _error(404, f"there is no fault {id_}")
    return Reply(204)


def _edit(simulator: Simulator, request: Request) -> Reply:
    edit = _edits.decode(request.body)
    row = simulator.edit(edit.entity, edit.action, edit.key, edit.set, touch=edit.touch)
    return _json(200, {"entity": edit.entity, "key": row.key, "version": row.version, "values": row.values})


def _json(status: int, body: Any) -> Reply:
    return Reply(status, _encoder.encode(body), "application/json")


def _error(status: int, text: str) -> Reply:
    return _json(status, {"error": text})
