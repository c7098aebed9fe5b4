"""Related records as JSON-RPC servers keep them, and as a mapping wants to name them; pure.

*Relations*: a field that holds the id of one other record. The mapping names the other record by what it
carries (``currency.code``, ``company.party.code``), and ``references`` says what to search for before a
write.

*Rows*: a list of small records of which the mapping names single ones, such as the e-mail address among the
contact mechanisms. ``contact.email.value`` is the field ``value`` of the row whose naming fields read
``email``. Rows that the mapping does not name are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from adapters.values import Native
from adapters.wire import Reference

#: list -> the fields that name its rows; none: the first row is meant
Rows = Mapping[str, Sequence[str]]


def asked(paths: Sequence[str], rows: Rows) -> list[str]:
    """The native fields to read, for paths that may name rows."""
    out: dict[str, None] = {}
    for path in paths:
        head, _, rest = path.partition(".")
        if rest and rows.get(head):
            out[f"{head}.{rest.partition('.')[2]}"] = None
            out.update(dict.fromkeys(naming(head, rows)))
        else:
            out[path] = None
    return list(out)


def naming(name: str, rows: Rows) -> list[str]:
    return [f"{name}.{field}" for field in rows[name]]


def gathered(record: Native, rows: Rows) -> Native:
    """Lists of rows become objects, as the mapping's paths expect them. The first of two alike counts."""
    for name, by in rows.items():
        found = record.get(name)
        if type(found) is not list:
            continue
        items = [cast("Native", row) for row in cast("list[Any]", found) if type(row) is dict]
        if by:
            named: Native = {}
            for row in items:
                named.setdefault(_name(row, by), row)
            record[name] = named
        else:
            record[name] = items[0] if items else None
    return record


def row_commands(value: Native, existing: Sequence[Any], by: Sequence[str]) -> list[list[Any]]:
    """What makes the named rows read like ``value``: rows that are there are changed, or deleted when
    emptied."""
    if not by:
        return [["write", [existing[0]], value]] if existing else [["create", [value]]]
    there: dict[str, Any] = {}
    for row in existing:
        there.setdefault(_name(row, by), row["id"])
    commands: list[list[Any]] = []
    for name, fields in value.items():
        empty = all(one is None for one in fields.values())
        if name in there:
            commands.append(["delete", [there[name]]] if empty else ["write", [there[name]], fields])
        elif not empty:
            parts = dict(zip(by, name.split(":"), strict=False))
            commands.append(["create", [{**parts, **fields}]])
    return commands


def references(record: Native, relations: Mapping[str, str], above: str = "") -> Iterator[Reference]:
    """One for each relation that the record names by what it carries; a relation named by nothing is
    emptied."""
    for name, value in record.items():
        path = above + name
        if type(value) is list:
            for row in cast("list[Any]", value):
                if type(row) is dict:
                    yield from references(cast("Native", row), relations, f"{path}.")
        elif type(value) is dict:
            inner = cast("Native", value)
            model = relations.get(path)
            if model is None:
                yield from references(inner, relations, f"{path}.")
                continue
            conditions = tuple(_conditions(inner, ""))
            if any(part is not None for _, part in conditions):
                # A message is about the field that did the naming, such as ``company.code`` for ``company``.
                named_by = f"{path}.{conditions[0][0]}"
                yield Reference(
                    resource=model, conditions=conditions, holder=record, name=name, path=named_by
                )
            else:
                record[name] = None


def _conditions(value: Native, above: str) -> Iterator[tuple[str, Any]]:
    for name, part in value.items():
        if type(part) is dict:
            yield from _conditions(cast("Native", part), f"{above}{name}.")
        else:
            yield above + name, part


def _name(row: Mapping[str, Any], by: Sequence[str]) -> str:
    return ":".join(str(row.get(field) or "") for field in by).rstrip(":")
