"""REST: a record lies at ``resource/key``; bodies are JSON or XML; names of parameters come from the
profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote, urlencode, urljoin

from adapters.errors import Misconfigured
from adapters.mapping import EntityMap
from adapters.options import RestOptions
from adapters.outcome import Problem, words
from adapters.profile import Profile
from adapters.protocols import json_body, xml_body
from adapters.transport import Reply, Request
from adapters.values import Native, getter
from adapters.wire import Broken, Change, Listing, NoReferences, Search, Written, at, problem_in

_TYPES = {"json": "application/json", "xml": "application/xml"}


class RestWire(NoReferences):
    def __init__(self, profile: Profile, base_url: str, settings: Mapping[str, Any]) -> None:
        assert isinstance(profile.options, RestOptions)
        self._options = options = profile.options
        self._base = base_url.rstrip("/") + options.root
        self._xml = options.format == "xml"
        media = options.content_type or _TYPES[options.format]
        self._reading = {"Accept": media, **options.headers}
        self._writing = {**self._reading, "Content-Type": f"{media}; charset=utf-8" if self._xml else media}

    def probe(self) -> Request:
        return self._get((self._options.probe or "").lstrip("/"))

    def fetch(self, entity: EntityMap, native_id: str) -> Request:
        return self._get(f"{entity.spec.resource}/{quote(native_id, safe='')}")

    def fetched(self, entity: EntityMap, reply: Reply) -> Native | None:
        return self._record(reply)

    def search(self, entity: EntityMap, search: Search) -> Request:
        options = self._options
        if options.paging == "link" and search.cursor is not None:
            return Request(method="GET", url=self._followed(search.cursor), headers=dict(self._reading))
        pairs: list[tuple[str, Any]] = []
        for condition in search.conditions:
            name = condition.name
            if condition.how == "since":
                name = options.updated_since_parameter
                if name is None:
                    raise Misconfigured("[options] name no updated_since_parameter")
            pairs.extend((name, _plain(value)) for value in condition.values)
        if options.limit_parameter is not None:
            pairs.append((options.limit_parameter, search.limit))
        if options.paging == "page":
            pairs.append((options.offset_parameter, search.cursor or options.first_page))
        elif options.paging in {"offset", "cursor"} and search.cursor is not None:
            pairs.append((options.offset_parameter, search.cursor))
        return self._get(f"{entity.spec.resource}?{urlencode(pairs)}" if pairs else entity.spec.resource)

    def listed(self, entity: EntityMap, search: Search, reply: Reply) -> Listing:
        options = self._options
        body = self._body(reply)
        path = ".".join(part for part in (options.items, entity.spec.element if self._xml else None) if part)
        found = at(body, path)
        if found is None and self._xml:
            found = []
        records = cast("list[Native]", found if isinstance(found, list) else [found])
        if not all(type(record) is dict for record in records):
            raise Broken(f"there is no list of records at {path!r}")
        return Listing(records=records, next_cursor=self._next(search, body, len(records)))

    def _next(self, search: Search, body: Any, count: int) -> str | None:
        options = self._options
        if options.paging in {"cursor", "link"}:
            cursor = at(body, options.next or "")
            return cursor if isinstance(cursor, str) and cursor else None
        if options.paging == "none" or count == 0:
            return None
        total = at(body, options.total) if options.total else None
        if options.paging == "page":
            page = int(search.cursor or options.first_page)
            before = (page - options.first_page) * search.limit
            following = page + 1
        else:
            before = int(search.cursor or 0)
            following = before + count
        if total is not None:
            return str(following) if before + count < _whole(total) else None
        return str(following) if count >= search.limit else None

    def prepare(self, entity: EntityMap, change: Change) -> Request | None:
        return None

    def create(self, entity: EntityMap, change: Change) -> Request:
        return self._write("POST", entity.spec.resource, entity, change)

    def update(self, entity: EntityMap, change: Change, prepared: Reply | None) -> Request:
        path = f"{entity.spec.resource}/{quote(change.native_id, safe='')}"
        return self._write(self._options.update_method, path, entity, change)

    def act(self, entity: EntityMap, change: Change) -> Request:
        path = f"{entity.spec.resource}/{quote(change.native_id, safe='')}/{change.action}"
        return self._write("POST", path, entity, change)

    def written(self, entity: EntityMap, reply: Reply) -> Written:
        record = self._record(reply) if reply.content else None
        spec = entity.spec
        native_id: Any = getter(spec.key)(record) if record is not None else None
        if native_id is None and (location := reply.headers.get("Location")):
            native_id = location.rstrip("/").rpartition("/")[2]
        if record is not None and native_id is None:
            raise Broken(f"the answer to a write has no {spec.key}")
        version: Any = None
        if spec.version == "etag":
            version = reply.headers.get("ETag")
        elif spec.version is not None and record is not None:
            version = getter(spec.version)(record)
        return Written(
            native_id=None if native_id is None else str(native_id),
            version=None if version is None else str(version),
            record=record,
        )

    def problem(self, entity: EntityMap | None, reply: Reply) -> tuple[int, Problem] | None:
        if 200 <= reply.status < 300:
            return None
        options = self._options
        try:
            body = self._body(reply)
        except Broken:
            return reply.status, Problem(message=words(reply.content))
        found = problem_in(body, options.error_code, options.error_message, options.error_field)
        field = entity.canonical_path(found.field) if entity is not None and found.field else None
        return reply.status, Problem(code=found.code, message=words(found.message.encode()), field=field)

    def login(self, auth: Mapping[str, Any]) -> Request:
        raise Misconfigured("a session is not known to protocol rest; use basic or bearer")

    def session(self, auth: Mapping[str, Any], reply: Reply) -> dict[str, str]:
        raise Misconfigured("a session is not known to protocol rest; use basic or bearer")

    def _get(self, path: str) -> Request:
        return Request(method="GET", url=f"{self._base}/{path}", headers=dict(self._reading))

    def _write(self, method: str, path: str, entity: EntityMap, change: Change) -> Request:
        headers = dict(self._writing)
        if change.version is not None:
            headers["If-Match"] = change.version
        if self._options.idempotency_header is not None:
            headers[self._options.idempotency_header] = change.marker
        if self._xml:
            name = entity.spec.element or entity.spec.resource
            content = xml_body.encode(name, change.record, self._options.xml_namespace)
        else:
            content = json_body.encode(change.record)
        return Request(method=method, url=f"{self._base}/{path}", headers=headers, content=content)

    def _body(self, reply: Reply) -> Any:
        return xml_body.decode(reply.content)[1] if self._xml else json_body.decode(reply.content)

    def _record(self, reply: Reply) -> Native:
        record = at(self._body(reply), self._options.record or "")
        if type(record) is not dict:
            raise Broken("the answer is not a record")
        return cast("Native", record)

    def _followed(self, link: str) -> str:
        url = urljoin(f"{self._base}/", link)
        if not url.startswith(f"{self._base}/"):
            raise Broken("the next page lies outside the system")
        return url


def _plain(value: Any) -> str:
    return str(value).lower() if type(value) is bool else str(value)


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise Broken("the total of a search is not a number") from error
