"""The legacy ERP: what an address means, searching by query parameters, answers in XML."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from adapters.sandbox.faults import Plan
from adapters.sandbox.fields import Rows, Table, Texts, Values
from adapters.sandbox.legacy.tables import INVOICE_RANGES, TABLES
from adapters.sandbox.legacy.wire import Wire, element, read_stamp, stamp
from adapters.sandbox.refusals import Refused
from adapters.sandbox.simulator import Route, Simulator
from adapters.sandbox.store import Row, Shelf
from adapters.sandbox.turns import Headers, Reply, Request

XML = "application/xml; charset=utf-8"
LARGEST_PAGE = 200
VERBS = {
    (False, "GET"): "search", (False, "POST"): "create", (True, "GET"): "fetch", (True, "PUT"): "update",
    (True, "DELETE"): "delete",
}  # fmt: skip


class LegacySystem(Simulator):
    name = "legacy"
    first_row = 1

    def __init__(self, **settings: Any) -> None:
        super().__init__(TABLES, **settings)
        self._by_path = {table.path: table for table in TABLES}
        self._wires = {table.entity: Wire(table) for table in TABLES}
        self._searchable = {
            table.entity: frozenset(f.name for f in table.fields if not isinstance(f.kind, Rows | Texts))
            for table in TABLES
        }

    def route(self, request: Request) -> Route:
        parts = request.path.strip("/").split("/")
        if parts == ["erp", "Status"]:
            return Route(None, "fetch", "Status")
        table = self._by_path.get(parts[1]) if parts[0] == "erp" and 2 <= len(parts) <= 3 else None
        if table is None:
            raise Refused("not_found", request.path)
        op = VERBS.get((len(parts) == 3, "GET" if request.method == "HEAD" else request.method))
        if op is None:
            raise Refused("method", request.method)
        return Route(table.entity, op, parts[2] if len(parts) == 3 else None)

    def answer(self, request: Request, route: Route, plan: Plan | None) -> Reply:
        if route.entity is None:
            text = f"<Status><System>legacy</System><Zeit>{stamp(self._clock())}</Zeit></Status>"
            return Reply(200, text.encode(), XML)
        shelf = self.shelves[route.entity]
        match route.op:
            case "fetch":
                return Reply(200, self._wires[route.entity].show(self._row(shelf, route.key, plan)), XML)
            case "search":
                return self._search(shelf, request.query, plan)
            case "create":
                return self._create(shelf, request, plan)
            case "update":
                return self._update(shelf, route.key, request, plan)
            case _:
                self.delete(shelf.table, self._row(shelf, route.key, None), request.body)
                return Reply(204)

    def _row(self, shelf: Shelf, key: str, plan: Plan | None) -> Row:
        past = self.rows(shelf, plan)
        row = (shelf.rows if past is None else past).get(key)
        if row is None:
            raise Refused("not_found", f"{shelf.table.item} {key}")
        return row

    def _create(self, shelf: Shelf, request: Request, plan: Plan | None) -> Reply:
        table = shelf.table
        wire = self._wires[table.entity]
        body = wire.read(request.body)
        row = self.create(
            table, body.values, marker=body.marker, external_id=None, body=request.body, plan=plan
        )
        place: Headers = (("Location", f"/erp/{table.path}/{row.key}"),)
        return Reply(201, wire.show(row), XML, place)

    def _update(self, shelf: Shelf, key: str, request: Request, plan: Plan | None) -> Reply:
        wire = self._wires[shelf.table.entity]
        body = wire.read(request.body)
        old = self._row(shelf, key, None)
        row = self.update(
            shelf.table, old, body.values, marker=body.marker, external_id=None, body=request.body, plan=plan
        )
        return Reply(200, wire.show(row), XML)

    def _search(self, shelf: Shelf, query: str, plan: Plan | None) -> Reply:
        wanted: dict[str, set[str]] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            wanted.setdefault(name, set()).add(value)
        count = _number(wanted.pop("anzahl", None), "anzahl", 50, 1, LARGEST_PAGE)
        start = _number(wanted.pop("ab", None), "ab", 0, 0, 10_000_000)
        since = wanted.pop("geaendert_ab", None)
        if not wanted and since is None and (plan is None or plan.lag_s <= 0):
            return self._page(shelf, shelf.slice(start, count), start, len(shelf.rows))
        found = self._found(shelf, wanted, since, plan)
        return self._page(shelf, found[start : start + count], start, len(found))

    def _found(
        self, shelf: Shelf, wanted: dict[str, set[str]], since: set[str] | None, plan: Plan | None
    ) -> list[Row]:
        table = shelf.table
        keys = wanted.pop(table.key, None)
        markers = wanted.pop("Referenz", None)
        values = {name: self._values(table, name, texts) for name, texts in wanted.items()}
        first = min(read_stamp(text, "geaendert_ab") for text in since) if since else None
        rows = self._candidates(shelf, keys, markers, values, first, plan)
        found = [
            row
            for row in rows
            if (keys is None or row.key in keys)
            and (markers is None or row.marker in markers)
            and (first is None or row.modified >= first)
            and all(row.values[name] in allowed for name, allowed in values.items())
        ]
        found.sort(key=(lambda row: row.modified) if first is not None else (lambda row: int(row.key)))
        return found

    def _candidates(
        self,
        shelf: Shelf,
        keys: set[str] | None,
        markers: set[str] | None,
        values: dict[str, set[Any]],
        first: int | None,
        plan: Plan | None,
    ) -> Iterable[Row]:
        """The smallest set at hand that holds every hit."""
        past = self.rows(shelf, plan)
        if past is not None:
            return past.values()
        if keys is not None:
            return shelf.pick(key for key in keys if key in shelf.rows)
        if markers is not None:
            return shelf.pick(key for marker in markers for key in shelf.markers.get(marker, ()))
        for name, index in shelf.index.items():
            if name in values and None not in values[name]:
                return shelf.pick(key for value in values[name] for key in index.get(value, ()))
        if first is not None:
            return shelf.since(first)
        return shelf.rows.values()

    def _values(self, table: Table, name: str, texts: set[str]) -> set[Any]:
        if name not in self._searchable[table.entity]:
            raise Refused("unknown_parameter", name, name)
        wire = self._wires[table.entity]
        return {wire.plain(name, text) for text in texts}

    def _page(self, shelf: Shelf, rows: list[Row], start: int, total: int) -> Reply:
        show = self._wires[shelf.table.entity].show
        head = f'<Liste Objekt="{shelf.table.item}" Gesamt="{total}" Ab="{start}" Anzahl="{len(rows)}">'
        return Reply(200, b"".join((head.encode(), *map(show, rows), b"</Liste>")), XML)

    def refusal(self, refused: Refused) -> Reply:
        reason = refused.reason
        field = f"<Feld>{_text(refused.field)}</Feld>" if refused.field else ""
        body = f"<Fehler><Code>{reason.legacy}</Code>{field}<Text>{_text(refused.text)}</Text></Fehler>"
        return Reply(reason.status, body.encode(), XML)

    def failure(self, status: int, retry_after: str | None) -> Reply:
        headers: Headers = (("Retry-After", retry_after),) if retry_after else ()
        body = f"<Fehler><Code>F{status}</Code><Text>the system answers {status}</Text></Fehler>"
        return Reply(status, body.encode(), XML, headers)

    def new_key(self, shelf: Shelf, values: Values) -> str:
        table = shelf.table
        if table.entity != "invoice":
            return str(table.first + shelf.number())
        company = values["Buchungskreis"] or ""
        series = company if company in INVOICE_RANGES else ""
        return str(INVOICE_RANGES[series] + table.first + shelf.number(series))

    def from_edit(self, table: Table, given: dict[str, Any]) -> Values:
        wire = self._wires[table.entity]
        values: Values = {}
        for name, value in given.items():
            field = table.by_name.get(name)
            if field is None:
                raise Refused("unknown_property", name, name)
            nested = isinstance(field.kind, Rows | Texts)
            values[name] = wire.plain(name, element(f"<{name}>{value}</{name}>") if nested else value or "")
        return values


def _number(given: set[str] | None, name: str, default: int, low: int, high: int) -> int:
    if given is None:
        return default
    text = next(iter(given))
    if len(given) > 1 or not (text.isascii() and text.isdecimal()) or not low <= int(text) <= high:
        raise Refused("bad_parameter", f"{name} must be one number from {low} to {high}", name)
    return int(text)


def _text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
