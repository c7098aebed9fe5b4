"""Says everything that is wrong with a body that did not decode: every place, in words with a remedy.

Runs only after a decoder has refused, so it may take its time: it walks the type and the value side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta, Struct

from gateway.canonical.entity import without_null
from gateway.canonical.money import MINOR_UNITS, Amount, Money, Quantity, from_wire
from gateway.errors import FieldError

#: A body with a thousand mistakes is told the first fifty.
MOST_ERRORS = 50

#: Members of a record that no body may set, and who sets them instead.
UNWRITABLE: Mapping[str, str] = {
    "id": "is given by the gateway",
    "entity": "follows from the address",
    "version": "is counted by the gateway; send the version that you know in If-Match",
    "created_at": "is set by the gateway",
    "updated_at": "is set by the gateway",
    "state": "is changed by POST …/{id}/transitions",
    "region": "cannot be changed: a record stays in the region that it was created in",
    "legal_entity": "cannot be changed: a record stays in the legal entity that it was created in",
    "external_refs": "cannot be changed here: the gateway keeps them",
}


def explain(kind: type[Struct], value: Any) -> tuple[FieldError, ...]:
    """The errors of ``value`` as a ``kind``, at least one."""
    found: list[FieldError] = []
    _walk(kind, value, "", found)
    if not found:
        _leaf(kind, value, "", found)
    return tuple(found[:MOST_ERRORS])


def escaped(member: object) -> str:
    """A member name as a step of a JSON Pointer."""
    return str(member).replace("~", "~0").replace("/", "~1")


def _walk(kind: Any, value: Any, pointer: str, found: list[FieldError]) -> None:
    if len(found) >= MOST_ERRORS:
        return
    if value is None and pointer:
        if without_null(kind) is kind:
            found.append(FieldError(pointer=pointer, code="null", message=_null(kind)))
        return
    inner = without_null(kind)
    bare = get_args(inner)[0] if get_origin(inner) is Annotated else inner
    if isinstance(bare, type) and issubclass(bare, Struct):
        _object(bare, value, pointer, found)
    elif get_origin(bare) is list and isinstance(value, list):
        before = len(found)
        for index, row in enumerate(value):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            _walk(get_args(bare)[0], row, f"{pointer}/{index}", found)
        if len(found) == before:
            _leaf(inner, value, pointer, found)
    else:
        _leaf(inner, value, pointer, found)


def _object(kind: type[Struct], value: Any, pointer: str, found: list[FieldError]) -> None:
    if not isinstance(value, dict):
        found.append(
            FieldError(pointer=pointer, code="type", message=f"expected an object, got {_name(value)}")
        )
        return
    members: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
    hints = get_type_hints(kind, include_extras=True)
    known = set(kind.__struct_encode_fields__)
    found.extend(
        _unknown(member, f"{pointer}/{escaped(member)}", top=not pointer)
        for member in members
        if member not in known
    )
    before = len(found)
    for field in msgspec.structs.fields(kind):
        place = f"{pointer}/{field.encode_name}"
        if field.encode_name in members:
            _walk(hints[field.name], members[field.encode_name], place, found)
        elif field.default is NODEFAULT and field.default_factory is NODEFAULT:
            wanted = _description(hints[field.name])
            message = "is required" + (f": {wanted}" if wanted else "")
            found.append(FieldError(pointer=place, code="missing", message=message))
    if len(found) == before and hints.keys() >= {"amount", "currency"} and len(hints) == 2:
        _scale(members, pointer, found)


def _unknown(member: str, pointer: str, *, top: bool) -> FieldError:
    if top and member in UNWRITABLE:
        return FieldError(pointer=pointer, code="unwritable", message=UNWRITABLE[member])
    return FieldError(pointer=pointer, code="unknown", message="there is no such field here")


def _scale(members: dict[str, Any], pointer: str, found: list[FieldError]) -> None:
    """The amount against its currency, once both are well-formed in themselves."""
    if members.get("amount") is None or members.get("currency") is None:
        return
    try:
        msgspec.convert(members, Money, dec_hook=from_wire)
    except msgspec.ValidationError:
        currency = members["currency"]
        message = f"{currency} has {MINOR_UNITS[currency]} decimals, {members['amount']} has more"
        found.append(FieldError(pointer=f"{pointer}/amount", code="decimals", message=message))


def _leaf(kind: Any, value: Any, pointer: str, found: list[FieldError]) -> None:
    try:
        msgspec.convert(value, kind, dec_hook=from_wire)
    except msgspec.ValidationError as problem:
        found.append(_refusal(kind, value, pointer, str(problem)))


def _refusal(kind: Any, value: Any, pointer: str, said: str) -> FieldError:
    wanted = _description(kind)
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if bare is Amount or bare is Quantity:
        number = type(value) in (int, float)
        code = "number" if number else "format" if isinstance(value, str) else "type"
        message = f"expected {wanted}, got {_name(value)}"
    elif said.startswith("Invalid enum value") or (isinstance(value, str) and not wanted):
        code, message = "choice", f"{_shown(value)} is not known; expected {wanted or _choices(bare)}"
    elif said.startswith("Expected `") and ", got `" in said:
        code, message = "type", f"expected {wanted or said}, got {_name(value)}"
    else:
        # Length, pattern, range or a day that is no day: the description says what is allowed.
        code, message = "format", f"expected {wanted or said}"
    return FieldError(pointer=pointer, code=code, message=message)


def _null(kind: Any) -> str:
    wanted = _description(kind)
    return f"may not be null; expected {wanted}" if wanted else "may not be null"


def _description(kind: Any) -> str:
    inner = without_null(kind)
    if get_origin(inner) is Annotated:
        bare, *notes = get_args(inner)
        for note in notes:
            if isinstance(note, Meta) and note.description:
                return note.description
        inner = bare
    if inner is Amount or inner is Quantity:
        return str(inner.__doc__)
    if isinstance(inner, type) and issubclass(inner, Struct):
        return "an object"
    return ""


def _choices(kind: Any) -> str:
    return "one of " + ", ".join(str(choice) for choice in get_args(kind))


def _shown(value: Any) -> str:
    # What is echoed is short and quoted, so that a message stays one line of plain text.
    return repr(value)[:60]


def _name(value: Any) -> str:
    names: dict[Any, str] = {
        dict: "an object",
        list: "an array",
        str: "text",
        bool: "true or false",
        type(None): "null",
    }
    return names.get(value.__class__, "a number")
