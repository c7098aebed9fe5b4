"""JSON-RPC as business servers speak it: ``model.<resource>.<method>``, the context always the last
parameter, errors inside HTTP 200, tagged values, sessions, and children of a record written as commands.

Related records are read by dotted names: ``lines.quantity`` comes back in a list under ``lines.`` (with the
dot), which is put where the profile looks for it. A list that the profile maps (``each``, ``first``) is
written row by row: rows keep their place, so the first existing row takes the first new values, surplus rows
are deleted, and missing ones are created. That needs the ids of the rows, which ``prepare`` reads before an
update. Relations and named rows are the business of ``related``.
"""

from __future__ import annotations

import itertools
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from adapters.converters import CONVERTERS
from adapters.errors import Misconfigured
from adapters.mapping import EntityMap
from adapters.options import JsonRpcOptions
from adapters.outcome import Problem, words
from adapters.profile import Profile
from adapters.protocols import json_body
from adapters.protocols.related import asked, gathered, naming, references, row_commands
from adapters.transport import Reply, Request
from adapters.values import Native
from adapters.wire import Broken, Change, Condition, Listing, Reference, Search, Written

_encode = msgspec.json.Encoder(decimal_format="string").encode
_HEADERS = {"Accept": "application/json", "Content-Type": "application/json"}


class JsonRpcWire:
    def __init__(self, profile: Profile, base_url: str, settings: Mapping[str, Any]) -> None:
        assert isinstance(profile.options, JsonRpcOptions)
        self._options = options = profile.options
        path = options.path
        if "{database}" in path:
            database = settings.get("database")
            if not isinstance(database, str) or not database:
                raise Misconfigured("the settings of this system need options.database")
            path = path.replace("{database}", database)
        self._url = base_url.rstrip("/") + options.root + path
        self._headers = {**_HEADERS, **options.headers}
        context = settings.get("context", {})
        if not isinstance(context, dict):
            raise Misconfigured("options.context of a system is a table")
        self._context: dict[str, Any] = {**options.context, **cast("dict[str, Any]", context)}
        self._ids = itertools.count(1)
        self._rows_by = options.rows if options.children == "commands" else {}

    def probe(self) -> Request:
        if self._options.probe_method is None:
            raise Misconfigured("[options] name no probe_method")
        return self._call(self._options.probe_method, [])

    def fetch(self, entity: EntityMap, native_id: str) -> Request:
        # Reading an id that is not there is an error of some servers, with words in the user's language;
        # a search for it has a plain answer: nothing.
        domain: list[Any] = [["id", "=", _id(entity, native_id)]]
        domain += [_clause(name, value) for name, value in entity.spec.where.items()]
        return self._model(
            entity, self._options.search, [domain, 0, 1, None, asked(entity.reads, self._rows_by)]
        )

    def fetched(self, entity: EntityMap, reply: Reply) -> Native | None:
        rows = self._rows(entity, reply)
        return rows[0] if rows else None

    def search(self, entity: EntityMap, search: Search) -> Request:
        domain = [_domain(condition, entity) for condition in search.conditions]
        offset = int(search.cursor or 0)
        order: list[Any] = [["id", "ASC"]]
        if entity.spec.order is not None:
            order = [part.split() for part in entity.spec.order.split(",")]
        # One row more than asked for says whether there is another page.
        params = [domain, offset, search.limit + 1, order, asked(entity.reads, self._rows_by)]
        return self._model(entity, self._options.search, params)

    def listed(self, entity: EntityMap, search: Search, reply: Reply) -> Listing:
        rows = self._rows(entity, reply)
        more = len(rows) > search.limit
        following = str(int(search.cursor or 0) + search.limit) if more else None
        return Listing(records=rows[: search.limit], next_cursor=following)

    def references(self, entity: EntityMap, change: Change) -> Sequence[Reference]:
        # Materialised, since each that is looked up changes the record that is walked here.
        return list(references(change.record, self._options.relations)) if self._options.relations else ()

    def look_up(self, reference: Reference) -> Request:
        domain = [[name, "=", value] for name, value in reference.conditions]
        method = f"{self._options.method_prefix}{reference.resource}.{self._options.search}"
        return self._call(method, [domain, 0, 1, [["id", "ASC"]], ["id"]])

    def looked_up(self, reference: Reference, reply: Reply) -> Any:
        match self._result(reply):
            case []:
                return None
            case [{"id": found}, *_]:
                return found
            case _:
                raise Broken(f"the answer does not say which {reference.resource} it is")

    def prepare(self, entity: EntityMap, change: Change) -> Request | None:
        if self._options.children == "plain":
            return None
        fields = sorted(path for path in entity.lists if path in change.record)
        for name in self._rows_by:
            if name in change.record:
                fields += naming(name, self._rows_by) or [name]
        return (
            self._model(entity, self._options.read, [[_id(entity, change.native_id)], fields])
            if fields
            else None
        )

    def create(self, entity: EntityMap, change: Change) -> Request:
        record = self._outgoing(entity, change.record, {})
        return self._model(entity, self._options.create, [[record]])

    def update(self, entity: EntityMap, change: Change, prepared: Reply | None) -> Request:
        rows: dict[str, Any] = {}
        if prepared is not None:
            found = self._result(prepared)
            if not isinstance(found, list) or not found or not isinstance(found[0], dict):
                raise Broken("the record that is to be changed could not be read")
            rows = _incoming(cast("dict[str, Any]", found[0]))
        record = self._outgoing(entity, change.record, rows)
        key = _id(entity, change.native_id)
        lock = self._options.lock_context
        context = (
            {}
            if lock is None or change.version is None
            else {lock: {f"{entity.spec.resource},{key}": change.version}}
        )
        return self._model(entity, self._options.update, [[key], record], context)

    def act(self, entity: EntityMap, change: Change) -> Request:
        return self._model(entity, change.action or "", [[_id(entity, change.native_id)]])

    def written(self, entity: EntityMap, reply: Reply) -> Written:
        result = self._result(reply)
        ids = cast("list[Any]", result) if isinstance(result, list) else []
        # A create answers with the new ids; an update or an action with null or what the server pleases.
        whole = len(ids) == 1 and type(ids[0]) is int
        return Written(native_id=str(ids[0]) if whole else None)

    def problem(self, entity: EntityMap | None, reply: Reply) -> tuple[int, Problem] | None:
        if not 200 <= reply.status < 300:
            return reply.status, Problem(message=words(reply.content))
        # The frame of a success is the common case and need not be decoded twice.
        if b'"error"' not in reply.content[:200] and b'"error"' not in reply.content[-4000:]:
            return None
        try:
            frame = json_body.decode(reply.content)
        except Broken:
            return None
        error = cast("dict[str, Any]", frame).get("error") if isinstance(frame, dict) else None
        return None if error is None else self._refusal(error)

    def _refusal(self, error: Any) -> tuple[int, Problem]:
        kind, message = "", ""
        parts = cast("list[Any]", error) if isinstance(error, list) else [error]
        if parts and isinstance(parts[0], str):
            kind = parts[0]
        rest: list[Any] = list(parts[1:])
        while rest:
            part = rest.pop(0)
            if isinstance(part, str) and part:
                message = message or part
                # What has a blank is a sentence; a name without one (the key of a warning) may stand before
                # it.
                if " " in part:
                    message = part
                    break
            if isinstance(part, list):
                rest = [*cast("list[Any]", part), *rest]
        problem = Problem(code=kind or None, message=words((message or kind).encode()))
        options = self._options
        if kind in options.conflict_errors or any(part in message for part in options.conflict_words):
            return 409, problem
        if any(part in message for part in options.not_found_words):
            return 404, problem
        if kind.startswith(options.unauthorised_errors) if options.unauthorised_errors else False:
            return 401, problem
        return 422, problem

    def login(self, auth: Mapping[str, Any]) -> Request:
        params = [auth["username"], {"password": auth["password"]}]
        return self._post(self._options.login_method, params)

    def session(self, auth: Mapping[str, Any], reply: Reply) -> dict[str, str]:
        result = self._result(reply)
        match result:
            case [int() as user, str() as token, *_]:
                secret = b64encode(f"{auth['username']}:{user}:{token}".encode()).decode()
                return {"Authorization": f"Session {secret}"}
            case _:
                raise Broken("the login was refused")

    def _model(
        self, entity: EntityMap, method: str, params: list[Any], context: Mapping[str, Any] | None = None
    ) -> Request:
        name = f"{self._options.method_prefix}{entity.spec.resource}.{method}"
        return self._call(name, params, context)

    def _call(self, method: str, params: list[Any], context: Mapping[str, Any] | None = None) -> Request:
        return self._post(method, [*params, {**self._context, **(context or {})}])

    def _post(self, method: str, params: list[Any]) -> Request:
        body = {"id": next(self._ids), "method": method, "params": params}
        return Request(method="POST", url=self._url, headers=dict(self._headers), content=_encode(body))

    def _result(self, reply: Reply) -> Any:
        frame = json_body.decode(reply.content)
        if not isinstance(frame, dict) or "result" not in frame:
            raise Broken("the answer is not a JSON-RPC frame with a result")
        return cast("dict[str, Any]", frame)["result"]

    def _rows(self, entity: EntityMap, reply: Reply) -> list[Native]:
        rows = self._result(reply)
        if not isinstance(rows, list) or not all(type(row) is dict for row in cast("list[Any]", rows)):
            raise Broken("the answer has no list of records")
        return [gathered(_incoming(row), self._rows_by) for row in cast("list[Native]", rows)]

    def _outgoing(self, entity: EntityMap, record: Native, existing: Mapping[str, Any]) -> Native:
        out: Native = {}
        for name, value in record.items():
            if name in entity.lists and self._options.children == "commands":
                ids: list[int] = existing.get(name) or []
                out[name] = _commands([_flat(row) for row in value], ids)
            elif name in self._rows_by and type(value) is dict:
                out[name] = row_commands(
                    _flat(cast("Native", value)), existing.get(name) or [], self._rows_by[name]
                )
            else:
                out[name] = _flat_value(value)
        return out


def _commands(rows: list[Native], ids: list[int]) -> list[list[Any]]:
    commands: list[list[Any]] = [["write", [key], row] for key, row in zip(ids, rows, strict=False)]
    if len(ids) > len(rows):
        commands.append(["delete", ids[len(rows) :]])
    if len(rows) > len(ids):
        commands.append(["create", rows[len(ids) :]])
    return commands


def _flat(record: Native) -> Native:
    return {name: _flat_value(value) for name, value in record.items()}


def _flat_value(value: Any) -> Any:
    """A related record that was only named by its id (path ``party.id``) is written as that id."""
    if type(value) is dict:
        inner = cast("dict[str, Any]", value)
        return inner["id"] if set(inner) == {"id"} else inner
    return value


def _incoming(record: Native) -> Native:
    """``lines.`` and ``party.`` (what dotted names brought) take the place of the bare ids."""
    dotted = [name for name in record if name.endswith(".")]
    for name in dotted:
        value = record.pop(name)
        if type(value) is list:
            record[name[:-1]] = [_incoming(row) for row in cast("list[Native]", value)]
        elif type(value) is dict:
            record[name[:-1]] = _incoming(cast("Native", value))
        else:
            record[name[:-1]] = value
    return record


def _id(entity: EntityMap, native_id: str) -> Any:
    try:
        return CONVERTERS[entity.spec.key_convert].write(native_id)
    except ValueError as error:
        raise Misconfigured(f"{native_id!r} is not a key of {entity.spec.resource}") from error


def _clause(name: str, value: Any) -> list[Any]:
    return [name, "in", value] if isinstance(value, list) else [name, "=", value]


def _domain(condition: Condition, entity: EntityMap) -> list[Any]:
    name, values = condition.name, list(condition.values)
    if condition.how == "contains":
        pattern = str(values[0]).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return [name, "like", f"%{pattern}%"]
    if condition.how == "since":
        # A record that was never changed may carry no stamp of a change, only that of its making.
        names = [part for part in (name, entity.spec.created) if part is not None]
        clauses: list[Any] = [[[one, ">=", values[0]]] for one in names]
        return ["OR", *clauses] if len(clauses) > 1 else clauses[0][0]
    return [name, "in", values] if len(values) > 1 else [name, "=", values[0]]
