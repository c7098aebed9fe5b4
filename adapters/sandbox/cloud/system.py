"""The cloud ERP: what an address means, conditional writes, upserts, server paging, answers in OData JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote

from adapters.sandbox.cloud import batch
from adapters.sandbox.cloud.metadata import edmx, service_document
from adapters.sandbox.cloud.query import Filter, Get, Parser, order, properties, sort
from adapters.sandbox.cloud.tables import TABLES
from adapters.sandbox.cloud.wire import ENCODERS, Body, Wire, decode, etag
from adapters.sandbox.faults import Plan
from adapters.sandbox.fields import Kind, Table, Values
from adapters.sandbox.refusals import Refused
from adapters.sandbox.simulator import Route, Simulator
from adapters.sandbox.store import Row, Shelf
from adapters.sandbox.turns import Headers, Reply, Request

ROOT = "/odata/v4/"
JSON = "application/json;odata.metadata=minimal"
PAGE = 100  #: rows of a server page
_ADDRESS = re.compile(r"(?P<set>\w+)(?:\((?:(?P<name>\w+)=)?'(?P<key>(?:[^']|'')*)'\))?(?P<count>/\$count)?")
VERBS = {
    (False, "GET"): "search", (False, "POST"): "create", (True, "GET"): "fetch", (True, "PATCH"): "update",
    (True, "DELETE"): "delete",
}  # fmt: skip
OPTIONS = frozenset({"$filter", "$orderby", "$top", "$skip", "$count", "$skiptoken", "$select", "$format"})


class Address:
    """One record by its key or its external id, or the number of records."""

    __slots__ = ("count", "external_id", "key")

    def __init__(self, key: str | None, external_id: str | None, *, count: bool = False) -> None:
        self.key = key
        self.external_id = external_id
        self.count = count


class CloudSystem(Simulator):
    name = "cloud"
    first_row = 0

    def __init__(self, **settings: Any) -> None:
        super().__init__(TABLES, **settings)
        self._by_path = {table.path: table for table in TABLES}
        self._wires = {table.entity: Wire(table) for table in TABLES}
        self._properties = {table.entity: properties(table) for table in TABLES}
        self._compiled = lru_cache(maxsize=2000)(self._compile)

    # Addresses -----------------------------------------------------------------------------------------

    def route(self, request: Request) -> Route:
        if not request.path.startswith(ROOT):
            if request.path + "/" == ROOT:
                return Route(None, "fetch", "")
            raise Refused("not_found", request.path)
        return self.route_of(request.method, request.path.removeprefix(ROOT))

    def route_of(self, method: str, path: str) -> Route:
        """Also for the parts of a batch, whose addresses are relative to the service root."""
        verb = "GET" if method == "HEAD" else method
        if path in ("", "$metadata") and verb == "GET":
            return Route(None, "fetch", path)
        if path == "$batch" and verb == "POST":
            return Route(None, "batch")
        found = _ADDRESS.fullmatch(path)
        table = self._by_path.get(found["set"]) if found is not None else None
        if found is None or table is None or found["name"] not in (None, "ExternalId", table.key):
            raise Refused("not_found", path)
        if found["key"] is None:
            address = Address(None, None, count=found["count"] is not None)
        else:
            key = found["key"].replace("''", "'")
            address = Address(None, key) if found["name"] == "ExternalId" else Address(key, None)
        op = VERBS.get((found["key"] is not None, verb))
        if op is None or (address.count and op != "search"):
            raise Refused("method", method)
        return Route(table.entity, op, address)

    def answer(self, request: Request, route: Route, plan: Plan | None) -> Reply:
        if route.entity is None:
            if route.op == "batch":
                return batch.answer(self, request, plan)
            if route.key == "$metadata":
                return Reply(200, edmx(), "application/xml")
            return Reply(200, service_document(), JSON)
        shelf = self.shelves[route.entity]
        form = "string" if "ieee754compatible=true" in request.headers.get("accept", "").lower() else "number"
        address: Address = route.key
        match route.op:
            case "fetch":
                return self._fetch(shelf, address, request, form, plan)
            case "search":
                return self._search(shelf, address, request.query, form, plan)
            case "create":
                return self._create(shelf, request, None, form, plan)
            case "update":
                return self._patch(shelf, address, request, form, plan)
            case _:
                row = self._existing(shelf, address, None)
                self._conditions(request, row, needed=True)
                self.delete(shelf.table, row, request.body)
                return Reply(204)

    # One record ----------------------------------------------------------------------------------------

    def _find(self, shelf: Shelf, address: Address, plan: Plan | None) -> Row | None:
        past = self.rows(shelf, plan)
        if address.external_id is None:
            return (shelf.rows if past is None else past).get(address.key or "")
        if past is not None:
            return next((row for row in past.values() if row.external_id == address.external_id), None)
        key = shelf.external.get(address.external_id)
        return shelf.rows[key] if key is not None else None

    def _existing(self, shelf: Shelf, address: Address, plan: Plan | None) -> Row:
        row = self._find(shelf, address, plan)
        if row is None:
            raise Refused("not_found", f"{shelf.table.item} {address.key or address.external_id}")
        return row

    def _fetch(self, shelf: Shelf, address: Address, request: Request, form: str, plan: Plan | None) -> Reply:
        row = self._existing(shelf, address, plan)
        if request.headers.get("if-none-match") == etag(row):
            return Reply(304, headers=(("ETag", etag(row)),))
        return self._shown(200, shelf.table, row, form)

    def _create(
        self, shelf: Shelf, request: Request, external_id: str | None, form: str, plan: Plan | None
    ) -> Reply:
        table = shelf.table
        body = self._body(table, request, external_id)
        row = self.create(
            table,
            body.values,
            marker=body.marker,
            external_id=body.external_id,
            body=request.body,
            plan=plan,
        )
        return self._shown(201, table, row, form, (("Location", f"{ROOT}{table.path}('{row.key}')"),))

    def _patch(self, shelf: Shelf, address: Address, request: Request, form: str, plan: Plan | None) -> Reply:
        row = self._find(shelf, address, None)
        if row is None:
            if address.external_id is None:
                raise Refused("not_found", f"{shelf.table.item} {address.key}")
            if "if-match" in request.headers:
                raise Refused("stale")
            return self._create(shelf, request, address.external_id, form, plan)
        self._conditions(request, row, needed=address.external_id is None)
        body = self._body(shelf.table, request, address.external_id)
        row = self.update(
            shelf.table,
            row,
            body.values,
            marker=body.marker,
            external_id=body.external_id,
            body=request.body,
            plan=plan,
        )
        return self._shown(200, shelf.table, row, form)

    def _body(self, table: Table, request: Request, external_id: str | None) -> Body:
        body = self._wires[table.entity].read(decode(request.body))
        if external_id is not None:
            if body.external_id not in (None, external_id):
                raise Refused("invalid_value", "ExternalId differs from the address", "ExternalId")
            if len(external_id) > 60:
                raise Refused("invalid_value", "ExternalId has at most 60 characters", "ExternalId")
            body.external_id = external_id
        return body

    def _conditions(self, request: Request, row: Row, *, needed: bool) -> None:
        if request.headers.get("if-none-match") == "*":
            raise Refused("stale")
        wanted = request.headers.get("if-match")
        if wanted is None:
            if needed:
                raise Refused("unconditional")
        elif wanted != "*" and etag(row) not in [tag.strip() for tag in wanted.split(",")]:
            raise Refused("stale")

    def _shown(self, status: int, table: Table, row: Row, form: str, headers: Headers = ()) -> Reply:
        shown = self._wires[table.entity].show(row, form)
        context = f'{{"@odata.context":"$metadata#{table.path}/$entity",'.encode()
        return Reply(status, context + shown[1:], JSON, (("ETag", etag(row)), *headers))

    # Sets ------------------------------------------------------------------------------------------------

    def _search(self, shelf: Shelf, address: Address, query: str, form: str, plan: Plan | None) -> Reply:
        options = _options(query)
        table = shelf.table
        rows = self._found(shelf, options, plan)
        if address.count:
            return Reply(200, str(len(rows)).encode(), "text/plain")
        total = len(rows)
        start = (
            _whole(options, "$skip", 0) if "$skiptoken" not in options else _whole(options, "$skiptoken", 0)
        )
        # A page after the first carries what is left of $top in its own address.
        end = min(total, start + _whole(options, "$top", total))
        page = rows[start : min(end, start + PAGE)]
        head = f'{{"@odata.context":"$metadata#{table.path}",'
        if options.get("$count") == "true":
            head += f'"@odata.count":{total},'
        if start + PAGE < end:
            rest = {k: v for k, v in options.items() if k not in ("$skip", "$top", "$skiptoken")}
            if "$top" in options:
                rest["$top"] = str(end - start - PAGE)
            rest["$skiptoken"] = str(start + PAGE)
            link = "&".join(f"{name}={quote(value, safe='')}" for name, value in rest.items())
            head += f'"@odata.nextLink":"{table.path}?{link}",'
        shown = self._selected(table, page, options.get("$select"), form)
        return Reply(200, b"".join((head.encode(), b'"value":[', b",".join(shown), b"]}")), JSON)

    def _found(self, shelf: Shelf, options: dict[str, str], plan: Plan | None) -> list[Row]:
        table = shelf.table
        past = self.rows(shelf, plan)
        rows: Iterable[Row] = (shelf.rows if past is None else past).values()
        text = options.get("$filter")
        if text is not None:
            compiled = self._compiled(table.entity, text)
            if past is None:
                rows = self._candidates(shelf, compiled)
            rows = filter(compiled.test, rows)
        found = list(rows)
        if "$orderby" in options:
            sort(found, order(options["$orderby"], self._properties[table.entity]))
        elif text is not None:
            found.sort(key=lambda row: (len(row.key), row.key))
        return found

    def _compile(self, entity: str, text: str) -> Filter:
        return Parser(text, self._properties[entity]).parse()

    def _candidates(self, shelf: Shelf, compiled: Filter) -> Iterable[Row]:
        """The smallest set at hand that holds every hit."""
        among = compiled.among
        if shelf.table.key in among:
            return shelf.pick(key for key in among[shelf.table.key] if key in shelf.rows)
        if "ExternalId" in among:
            keys = (shelf.external.get(one) for one in among["ExternalId"])
            return shelf.pick(key for key in keys if key is not None)
        if "LastOperation" in among:
            return shelf.pick(
                key for marker in among["LastOperation"] for key in shelf.markers.get(marker, ())
            )
        for name, index in shelf.index.items():
            if name in among:
                return shelf.pick(key for value in among[name] for key in index.get(value, ()))
        if compiled.since is not None:
            return shelf.since(compiled.since)
        return shelf.rows.values()

    def _selected(self, table: Table, rows: list[Row], select: str | None, form: str) -> Iterable[bytes]:
        wire = self._wires[table.entity]
        if select is None or select.strip() == "*":
            return (wire.show(row, form) for row in rows)
        names = ["@odata.etag", *(name.strip() for name in select.split(","))]
        known: dict[str, tuple[Get, Kind | None]] = self._properties[table.entity]
        for name in names[1:]:
            if name not in known and name not in table.by_name:
                raise Refused("unknown_property", f"{name} in {table.item}", "$select")
        return (
            ENCODERS[form].encode({n: record[n] for n in names if n in record})
            for record in map(wire.record, rows)
        )

    # Errors and keys ---------------------------------------------------------------------------------------

    def refusal(self, refused: Refused) -> Reply:
        return _error(refused.reason.status, refused.reason.cloud, refused.text, refused.field)

    def failure(self, status: int, retry_after: str | None) -> Reply:
        reply = _error(status, f"Status{status}", f"the system answers {status}", None)
        reply.headers = (("Retry-After", retry_after),) if retry_after else ()
        return reply

    def new_key(self, shelf: Shelf, values: Values) -> str:
        return f"{shelf.table.prefix}{shelf.table.first + shelf.number()}"

    def from_edit(self, table: Table, given: dict[str, Any]) -> Values:
        wire = self._wires[table.entity]
        values: Values = {}
        for name, value in given.items():
            if name not in table.by_name:
                raise Refused("unknown_property", f"{name} in {table.item}", name)
            values[name] = wire.plain(name, value)
        return values


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in OPTIONS:
            raise Refused("unknown_parameter", name, name)
    return options


def _whole(options: dict[str, str], name: str, default: int) -> int:
    text = options.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise Refused("bad_parameter", f"{name} must be a whole number, not {text}", name)
    return int(text)


def _error(status: int, code: str, message: str, target: str | None) -> Reply:
    error = {"code": code, "message": message, **({"target": target} if target else {})}
    return Reply(status, ENCODERS["number"].encode({"error": error}), JSON)
