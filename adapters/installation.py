"""What one installation of a product adds to its profile: numbers that only this installation knows.

A profile says which native paths they are for (``installed``); the settings of the system give them::

    [systems.legacy.options.constants.invoice]
    journal = 1
    [systems.legacy.options.constants.invoice.by_legal_entity.DE01]
    account = 5
    "lines[].account" = 6
    [systems.legacy.options.where.customer]
    categories = 1

Constants go with every create; those of rows (``lines[]``) with every write that brings rows. ``where``
narrows every search. What the profile asks for and the settings lack stops the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from adapters.contract import Fields
from adapters.errors import Misconfigured, Rejected
from adapters.profile import Profile
from adapters.values import ROWS, Native, setter


class _Options(msgspec.Struct, frozen=True, kw_only=True):
    """The part of ``[systems.<name>.options]`` that is read here; the rest is the protocol's."""

    constants: dict[str, dict[str, Any]] = {}
    where: dict[str, dict[str, Any]] = {}


class _Constants(msgspec.Struct, frozen=True, kw_only=True):
    always: dict[str, Any]
    by_legal_entity: dict[str, dict[str, Any]]

    @property
    def rows(self) -> set[str]:
        """The lists that have constants in their rows."""
        tables = (self.always, *self.by_legal_entity.values())
        return {path.partition(ROWS)[0] for table in tables for path in table if ROWS in path}

    def of(self, fields: Fields, system: str) -> Iterator[tuple[str, Any]]:
        yield from self.always.items()
        if not self.by_legal_entity:
            return
        own = self.by_legal_entity.get(fields.get("legal_entity") or "")
        if own is None:
            known = ", ".join(self.by_legal_entity)
            raise Rejected(
                f"is none of {known}, for which the settings of this system name its accounts and numbers",
                system=system,
                code="legal_entity_unknown",
                field="legal_entity",
            )
        yield from own.items()


class Installation:
    """The constants of one system, and its profile with the installation's ``where``."""

    def __init__(self, name: str, profile: Profile, options: Mapping[str, Any]) -> None:
        try:
            given = msgspec.convert(options, _Options)
        except msgspec.ValidationError as error:
            raise Misconfigured(f"options of the settings: {error}", system=name) from error
        for part, tables in (("constants", given.constants), ("where", given.where)):
            for entity in tables.keys() - profile.entities.keys():
                raise Misconfigured(f"options.{part}.{entity}: the profile has no such entity", system=name)
        self._name = name
        self._constants = {entity: _split(name, entity, table) for entity, table in given.constants.items()}
        for entity, spec in profile.entities.items():
            _check(name, entity, spec.installed, self._constants.get(entity))
        entities = dict(profile.entities)
        for entity, where in given.where.items():
            entities[entity] = replace(entities[entity], where={**entities[entity].where, **where})
        self.profile = replace(profile, entities=entities)

    def complete(self, entity: str, native: Native, fields: Fields, *, creating: bool) -> None:
        constants = self._constants.get(entity)
        # Which legal entity it is matters only where there is something to put.
        if constants is None or not (creating or constants.rows & native.keys()):
            return
        for path, value in constants.of(fields, self._name):
            rows, between, inner = path.partition(ROWS)
            if between:
                for row in native.get(rows) or ():
                    setter(inner)(row, value)
            elif creating:
                setter(path)(native, value)


def _split(name: str, entity: str, given: dict[str, Any]) -> _Constants:
    by_legal_entity = given.get("by_legal_entity", {})
    try:
        tables = msgspec.convert(by_legal_entity, dict[str, dict[str, Any]])
    except msgspec.ValidationError as error:
        raise Misconfigured(f"options.constants.{entity}.by_legal_entity: {error}", system=name) from error
    always = {path: value for path, value in given.items() if path != "by_legal_entity"}
    return _Constants(always=always, by_legal_entity=tables)


def _check(name: str, entity: str, wanted: list[str], constants: _Constants | None) -> None:
    for path in wanted:
        if constants is not None and path in constants.always:
            continue
        tables = constants.by_legal_entity if constants is not None else {}
        lacking = [legal_entity for legal_entity, table in tables.items() if path not in table]
        if not tables or lacking:
            where = f" for {', '.join(lacking)}" if lacking else ""
            raise Misconfigured(
                f"the profile needs {path!r}{where} in options.constants.{entity} of the settings "
                "(one value, or one under by_legal_entity for each legal entity)",
                system=name,
            )
