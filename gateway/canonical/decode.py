"""From the bytes of a request to a canonical document, or to a refusal that names each wrong place.

A *document* is the plain wire form of a record: what its JSON would hold, that is own fields,
``legal_entity`` and ``custom_fields``; nothing in it is null. The well-formed body takes one
pass of a compiled decoder; every other path may be slow, because it ends in an explanation.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any, NoReturn

import msgspec
from msgspec import Struct

from gateway.canonical.checks import wrong
from gateway.canonical.entity import Entity
from gateway.canonical.explain import escaped, explain
from gateway.canonical.money import from_wire
from gateway.canonical.values import Note, StateName
from gateway.errors import FieldError, Invalid, Malformed

#: Levels of objects and arrays that a body may have, itself included.
MOST_LEVELS = 32
#: Bytes of ``custom_fields`` as JSON.
CUSTOM_FIELDS_BYTES = 16 * 1024

#: Kept as they came: names in somebody else's system are not text of ours to normalise.
_FOREIGN = frozenset({"custom_fields", "external_refs"})


class Draft(Struct, frozen=True, kw_only=True):
    """What a create asks for. ``legal_entity`` is None where the region's own is meant; once it is settled,
    the caller puts it into the document."""

    region: str
    legal_entity: str | None
    external_refs: dict[str, str]
    document: dict[str, Any]


class Transition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A wish for another state. Whether the state exists is for the record's lifecycle to say."""

    to: StateName
    reason: Note | None = None


_TRANSITION = msgspec.json.Decoder(Transition, dec_hook=from_wire)


def decode_draft(entity: Entity, body: bytes) -> Draft:
    """The create in ``body``. Raises Malformed for its form, Invalid for values that do not fit together."""
    fields: Any = _decode(entity.draft_decoder, body)
    if entity.complete is not None:
        fields = entity.complete(fields, None, ())
    refused = entity.invariants(fields)
    if refused:
        raise Invalid(_summary(refused), errors=refused)
    document: dict[str, Any] = msgspec.to_builtins(fields)
    region: str = document.pop("region")
    refs: dict[str, str] = document.pop("external_refs", None) or {}
    custom = document.setdefault("custom_fields", {})
    if custom:
        _check_custom_fields(custom)
    return Draft(region=region, legal_entity=fields.legal_entity, external_refs=refs, document=document)


def decode_patch(entity: Entity, body: bytes) -> dict[str, Any]:
    """The merge patch in ``body``, checked as far as it can be without the record that it is for."""
    patch: dict[str, Any] = msgspec.to_builtins(_decode(entity.patch_decoder, body))
    custom = patch.get("custom_fields")
    if custom:
        _check_custom_fields(custom)
    return patch


def decode_transition(body: bytes) -> Transition:
    """The move in ``body``."""
    return _decode(_TRANSITION, body)


def check_custom_fields(custom: dict[str, Any]) -> None:
    """Raises Malformed where ``custom_fields`` is larger or deeper than a record may carry."""
    _check_custom_fields(custom)


def _check_custom_fields(custom: dict[str, Any]) -> None:
    size = len(msgspec.json.encode(custom))
    if size > CUSTOM_FIELDS_BYTES:
        _refuse("/custom_fields", "size", f"is {size} bytes as JSON, more than {CUSTOM_FIELDS_BYTES}")
    if _deeper(custom, MOST_LEVELS - 1):
        _refuse("/custom_fields", "depth", f"is nested deeper than {MOST_LEVELS} levels")


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        decoded = decoder.decode(body)
        repeated = _may_repeat_keys(decoded, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _convert(_normal(_raw(body)), decoder.type)
    # An escape may hide a combining character; without any, the bytes show whether the text is composed.
    composed = b"\\u" not in body and (body.isascii() or unicodedata.is_normalized("NFC", body.decode()))
    if composed and not repeated:
        return decoded
    raw = _raw(body)
    normal = raw if composed else _normal(raw)
    return decoded if normal == raw else _convert(normal, decoder.type)


def _convert(value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind, dec_hook=from_wire)
    except msgspec.ValidationError:
        refused = explain(kind, value)
        raise Malformed(_summary(refused), errors=refused) from None


def _raw(body: bytes) -> Any:
    """The body as plain values, read strictly: UTF-8, one JSON value, no repeated member, no great depth."""
    try:
        value = msgspec.json.decode(body)
    except UnicodeDecodeError:
        _refuse("", "encoding", "the body is not UTF-8")
    except RecursionError:
        _refuse("", "depth", f"the body is nested deeper than {MOST_LEVELS} levels")
    except msgspec.DecodeError as problem:
        _refuse("", "json", f"the body is not JSON: {problem}")
    if _deeper(value, MOST_LEVELS):
        _refuse("", "depth", f"the body is nested deeper than {MOST_LEVELS} levels")
    repeated: list[str] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        read = dict(pairs)
        if len(read) < len(pairs):
            seen: set[str] = set()
            repeated.extend(name for name, _ in pairs if name in seen or seen.add(name))
        return read

    json.loads(body, object_pairs_hook=members)
    if repeated:
        named = repeated[0]
        _refuse(f"/{escaped(named)}", "repeated", f"{named[:60]!r} stands more than once in one object")
    return value


def _may_repeat_keys(decoded: Struct, body: bytes) -> bool:
    """Whether the body may hold more member names than were decoded. Never False for a body that repeats one.

    Each member name ends in a quote and a colon, so without blanks between them their number bounds the
    number of names from above; if it equals the number of names decoded, no name was dropped."""
    for blank in (b" :", b"\t:", b"\n:", b"\r:"):
        if blank in body:
            return True
    return body.count(b'":') != _count(msgspec.to_builtins(decoded))


def _count(value: Any) -> int:
    if type(value) is dict:
        members: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return len(members) + sum([_count(v) for v in members.values() if type(v) is dict or type(v) is list])
    if type(value) is list:
        rows: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return sum([_count(v) for v in rows if type(v) is dict or type(v) is list])
    return 0


def _deeper(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_deeper(v, levels - 1) for v in value.values())  # pyright: ignore
    if isinstance(value, list):
        return levels == 0 or any(_deeper(v, levels - 1) for v in value)  # pyright: ignore
    return False


def _normal(value: Any, *, top: bool = True) -> Any:
    """The value with its text in Unicode normal form C, and whole numbers as such: 30.0 is 30 in JSON."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        members: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {n: v if top and n in _FOREIGN else _normal(v, top=False) for n, v in members.items()}
    if isinstance(value, list):
        return [_normal(v, top=False) for v in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _summary(errors: tuple[FieldError, ...]) -> str:
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{first.pointer or 'the body'}: {first.message}{more}"


def _refuse(pointer: str, code: str, message: str) -> NoReturn:
    error = wrong(pointer, code, message)
    raise Malformed(_summary((error,)), errors=(error,))
