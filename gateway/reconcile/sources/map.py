"""The language of a map: where each entity of a source lies, and which column is which canonical field. Pure.

Fields are written as in a profile, with the same converters. A whole one, with every kind of key::

    kind      = "csv"                      # csv | json_lines | sql
    origin    = "nightly export of the books, read 2026-11"     # where these names were read, and when
    encoding  = "cp1252"                   # files; default utf-8
    delimiter = ";"                        # csv; default a comma
    decimals  = "decimal_comma"            # how amounts and numbers are written, where a field does not say
    dates     = "date_dmy_dots"            # the same for dates

    [values.states]
    B = "posted"

    [entities.invoice]
    file    = "rechnungen.csv"             # below the address of the source
    columns = ["BelegNr", "Brutto"]        # csv without a line of names
    key     = "BelegNr"                    # column of the native id, as the system's adapter has it
    [entities.invoice.fields]
    number      = "Nummer"
    customer_id = { path = "Kunde", ref = "customer" }
    state       = { path = "Status", values = "states" }
    total       = { amount = "Brutto", currency = "Waehrung" }
    lines       = { path = "Positionen", each = { number = { path = "PosNr", convert = "integer_text" } } }

    [entities.expense]
    query = "SELECT * FROM spesen"         # sql, instead of ``file``; one row a record
    key   = "spesennr"

Fields may be left out, but for those by which a record is placed and paired with that of the other system: its legal
entity (``{ constant = "DE01" }`` where an export is of one), its number, and what tells apart those of one number. A
list in one column of a file or of a query is JSON text. A dot in a path descends into an object, so a column whose name
has one needs ``columns`` or, in a query, another name.
"""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from adapters import profile
from adapters.converters import CONVERTERS
from adapters.mapping import EntityMap
from adapters.options import RestOptions
from adapters.profile import EntityProfile, FieldForm, Profile, as_form
from gateway.canonical import BY_NAME, Entity
from gateway.canonical.policy import Compare

Kind = Literal["csv", "json_lines", "sql"]
#: kind -> how decimals are written there, where neither map nor field says so
_DECIMALS: Mapping[Kind, str] = {"csv": "decimal_dot", "json_lines": "decimal_any", "sql": "decimal_any"}


class MapWrong(Exception):
    """The map of a source is wrong; the message says where."""


class EntityRows(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one entity lies, and its columns."""

    key: str
    fields: dict[str, str | FieldForm]
    key_convert: str = "text"
    file: str | None = None
    query: str | None = None
    columns: list[str] = []


class SourceMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A map as its file says it."""

    kind: Kind
    origin: str
    entities: dict[str, EntityRows]
    encoding: str = "utf-8"
    delimiter: str = ","
    decimals: str | None = None
    dates: str = "date_iso"
    values: dict[str, dict[str, str | list[str]]] = {}


def load(path: Path) -> SourceMap:
    """The map in a file. Raises MapWrong."""
    try:
        return parse(path.read_text("utf-8"), file=str(path))
    except OSError as wrong:
        raise MapWrong(f"{path} cannot be read: {wrong.strerror}") from wrong
    except UnicodeDecodeError as wrong:
        raise MapWrong(f"{path} is not UTF-8") from wrong


def parse(text: str, *, file: str) -> SourceMap:
    """The map in this text. Raises MapWrong, with the file and the place."""
    try:
        found = msgspec.convert(tomllib.loads(text), SourceMap)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as wrong:
        raise MapWrong(f"{file}: {wrong}") from wrong
    for place, fault in _faults(found):
        raise MapWrong(f"{file}: {fault} at `$.{place}`")
    for place, fault in profile.faults(as_profile(found)):
        raise MapWrong(f"{file}: {fault} at `$.{place}`")
    return found


def entity_maps(found: SourceMap) -> dict[str, EntityMap]:
    """The mapping of each entity."""
    whole = as_profile(found)
    return {entity: EntityMap(whole, entity) for entity in found.entities}


def as_profile(found: SourceMap) -> Profile:
    """The map as the profile that the mapping knows: a product that can only be read."""
    return Profile(
        protocol="rest",
        product="source",
        version="",
        source=found.origin,
        grade="live",
        options=RestOptions(),
        values=found.values,
        entities={
            entity: EntityProfile(
                resource=rows.file or "",
                key=rows.key,
                key_convert=rows.key_convert,
                capabilities=frozenset(),
                fields=_forms(found, BY_NAME[entity], rows.fields, ""),
            )
            for entity, rows in found.entities.items()
        },
    )


def _forms(
    found: SourceMap, entity: Entity, fields: Mapping[str, str | FieldForm], above: str
) -> dict[str, str | FieldForm]:
    """The fields with the converters of the map where they do not name their own."""
    out: dict[str, str | FieldForm] = {}
    for name, raw in fields.items():
        form = as_form(raw)
        path = above + name
        if form.each is not None:
            form = msgspec.structs.replace(form, each=_forms(found, entity, form.each, f"{path}[]."))
        elif form.first is not None:
            form = msgspec.structs.replace(form, first=_forms(found, entity, form.first, f"{path}."))
        elif form.convert == "text" and form.values is None and form.ref is None:
            form = msgspec.structs.replace(form, convert=_default(found, entity, form, path))
        out[name] = form
    return out


def _default(found: SourceMap, entity: Entity, form: FieldForm, path: str) -> str:
    rule = entity.policy.rule(path)
    compare = None if rule is None else rule.compare
    if form.amount is not None or compare is Compare.DECIMAL:
        return found.decimals or _DECIMALS[found.kind]
    return found.dates if compare is Compare.DAY else form.convert


def _faults(found: SourceMap) -> Iterator[tuple[str, str]]:
    """What the types cannot say."""
    if not found.entities:
        yield "entities", "there is no entity"
    if len(found.delimiter) != 1 or found.delimiter in '"\r\n':
        yield "delimiter", "is not one character that can stand between cells"
    for key in ("decimals", "dates"):
        name = getattr(found, key)
        if name is not None and name not in CONVERTERS:
            yield key, f"no converter {name!r}; there are: {', '.join(CONVERTERS)}"
    if not _lines_are_lines(found.encoding):
        yield "encoding", f"{found.encoding!r} is no encoding in which a line ends as in ASCII"
    for name, rows in found.entities.items():
        at = f"entities.{name}"
        if name not in BY_NAME:
            yield at, f"no entity {name!r}; there are: {', '.join(BY_NAME)}"
            continue
        wanted, other = ("query", "file") if found.kind == "sql" else ("file", "query")
        if getattr(rows, wanted) is None or getattr(rows, other) is not None:
            yield at, f"a source of kind {found.kind} needs `{wanted}`, and no `{other}`"
        if rows.columns and found.kind != "csv":
            yield f"{at}.columns", "only a csv may have no line of names"
        if len(set(rows.columns)) != len(rows.columns):
            yield f"{at}.columns", "two columns have the same name"
        if rows.key_convert not in CONVERTERS:
            yield f"{at}.key_convert", f"no converter {rows.key_convert!r}"
        pairing = ("legal_entity", BY_NAME[name].match_key, *BY_NAME[name].told_apart_by)
        if lacking := [one for one in pairing if one not in rows.fields]:
            yield f"{at}.fields", f"there is no {', '.join(lacking)}, by which each {name} is placed and paired"
        for path in _paths(rows.fields, ""):
            if BY_NAME[name].policy.rule(path) is None:
                yield f"{at}.fields.{path}", f"no field {path!r} of {name} is compared"


def _paths(fields: Mapping[str, str | FieldForm], above: str) -> Iterator[str]:
    for name, raw in fields.items():
        form = as_form(raw)
        yield above + name
        yield from _paths(form.each or {}, f"{above}{name}[].")
        yield from _paths(form.first or {}, f"{above}{name}.")


def _lines_are_lines(encoding: str) -> bool:
    """Whether a file in this encoding can be cut at its line feeds before it is decoded."""
    try:
        codecs.lookup(encoding)
        return 'a;,"\n'.encode(encoding) == b'a;,"\n'
    except (LookupError, UnicodeError):
        return False
