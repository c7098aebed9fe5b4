"""What ``system.System`` asks of a protocol: requests made and replies read, both pure.

A wire knows bytes, paths and verbs. It never sends: ``System`` does, once, and says what an error means.
Native records are plain dicts; what is in them is the mapping's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, cast

import msgspec

from adapters.mapping import EntityMap
from adapters.outcome import Problem
from adapters.transport import Reply, Request
from adapters.values import Native, getter


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One condition of a search; more than one value means any of them."""

    name: str  #: native parameter or path
    values: tuple[Any, ...]
    how: Literal["is", "contains", "since"] = "is"
    bare: bool = False  #: text that a query language writes without quotes: dates and instants


class Search(msgspec.Struct, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...]
    limit: int
    cursor: str | None = None


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    records: list[Native]
    next_cursor: str | None = None


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What the answer to a write tells. ``record`` is None where the product answers without one."""

    native_id: str | None = None
    version: str | None = None
    record: Native | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One write as the protocol needs it."""

    record: Native
    marker: str
    external_id: str
    native_id: str = ""  #: empty on create
    version: str | None = None  #: sent as a condition when there is one
    action: str | None = None  #: a named action instead of an update


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A related record that a change names by what it carries, where the product wants its id."""

    resource: str
    conditions: tuple[tuple[str, Any], ...]
    holder: Native  #: the part of the record that is being made where the id goes
    name: str  #: its key there
    path: str  #: native path from the record, for messages

    @property
    def words(self) -> str:
        return f"{self.resource} with " + " and ".join(f"{name} = {value}" for name, value in self.conditions)


class Broken(ValueError):
    """The bytes are not what this protocol speaks."""


class Wire(Protocol):
    def probe(self) -> Request: ...

    def fetch(self, entity: EntityMap, native_id: str) -> Request: ...

    def fetched(self, entity: EntityMap, reply: Reply) -> Native | None:
        """None: there is no such record."""
        ...

    def search(self, entity: EntityMap, search: Search) -> Request: ...

    def listed(self, entity: EntityMap, search: Search, reply: Reply) -> Listing: ...

    def references(self, entity: EntityMap, change: Change) -> Sequence[Reference]:
        """What must be looked up before this change can be written."""
        ...

    def look_up(self, reference: Reference) -> Request: ...

    def looked_up(self, reference: Reference, reply: Reply) -> Any:
        """The native id; None where there is no such record."""
        ...

    def prepare(self, entity: EntityMap, change: Change) -> Request | None:
        """A read that an update needs first; its reply is handed to ``update``."""
        ...

    def create(self, entity: EntityMap, change: Change) -> Request: ...

    def update(self, entity: EntityMap, change: Change, prepared: Reply | None) -> Request: ...

    def act(self, entity: EntityMap, change: Change) -> Request: ...

    def written(self, entity: EntityMap, reply: Reply) -> Written: ...

    def problem(self, entity: EntityMap | None, reply: Reply) -> tuple[int, Problem] | None:
        """None when the reply is a success; else the status that it amounts to, and the system's words."""
        ...

    def login(self, auth: Mapping[str, Any]) -> Request:
        """For ``kind = "session"``."""
        ...

    def session(self, auth: Mapping[str, Any], reply: Reply) -> dict[str, str]:
        """Headers that carry the session which a login gave."""
        ...


class NoReferences:
    """For a protocol in which a record names related records by their ids: there is nothing to look up."""

    def references(self, entity: EntityMap, change: Change) -> Sequence[Reference]:
        return ()

    def look_up(self, reference: Reference) -> Request:
        raise NotImplementedError(reference.words)

    def looked_up(self, reference: Reference, reply: Reply) -> Any:
        raise NotImplementedError(reference.words)


def at(record: Any, path: str) -> Any:
    """What lies at a dotted path; None where there is nothing. An empty path is the record itself."""
    if not path:
        return record
    return getter(path)(cast("Native", record)) if type(record) is dict else None


def problem_in(
    body: Any, codes: tuple[str, ...], messages: tuple[str, ...], fields: tuple[str, ...]
) -> Problem:
    """The first of each group of paths that holds something."""

    def first(paths: tuple[str, ...]) -> str | None:
        for path in paths:
            found = at(body, path)
            if isinstance(found, (str, int)) and not isinstance(found, bool) and found != "":
                return str(found)
        return None

    return Problem(code=first(codes), message=first(messages) or "", field=first(fields))
