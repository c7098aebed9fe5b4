"""OData V4: entity sets, ``$filter``, server paging, ETags, bound actions, upsert by an alternate key,
``$batch``.

Values in a body are what the mapping made of them; in a ``$filter`` a string is quoted, a date or an instant
is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote, urljoin

import msgspec

from adapters.converters import CONVERTERS
from adapters.errors import Misconfigured
from adapters.mapping import EntityMap
from adapters.options import OdataOptions
from adapters.outcome import Problem, words
from adapters.profile import Profile
from adapters.protocols import json_body
from adapters.transport import Reply, Request
from adapters.values import Native, getter
from adapters.wire import Broken, Change, Condition, Listing, NoReferences, Search, Written, at, problem_in

#: Characters that may stand as they are in a key or a query option.
_SAFE = "-._~!$'()*,;:@/"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One answer inside a batch."""

    id: str
    status: int
    body: Any = None
    headers: dict[str, str] = {}


class _Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """Where a search stands: records seen, and inside a window of ours the service's own next link."""

    seen: int = 0
    wanted: int = 0  #: what our $top still leaves for the pages behind ``link``
    link: str | None = None

    @classmethod
    def read(cls, text: str | None) -> _Cursor:
        if text is None:
            return _NO_CURSOR
        seen, _, rest = text.partition("|")
        wanted, _, link = rest.partition("|")
        return cls(seen=int(seen), wanted=int(wanted or 0), link=link or None)

    @property
    def text(self) -> str:
        return str(self.seen) if self.link is None else f"{self.seen}|{self.wanted}|{self.link}"


_NO_CURSOR = _Cursor()


class OdataWire(NoReferences):
    def __init__(self, profile: Profile, base_url: str, settings: Mapping[str, Any]) -> None:
        assert isinstance(profile.options, OdataOptions)
        self._options = options = profile.options
        self._base = base_url.rstrip("/") + options.root
        self._reading = {"Accept": "application/json", **options.headers}
        prefer = {"Prefer": "return=representation"} if options.return_representation else {}
        self._writing = {**self._reading, **prefer, "Content-Type": "application/json"}
        self._codes = options.error_code or ("error.code",)
        self._messages = options.error_message or ("error.message",)
        self._fields = options.error_field or ("error.target",)

    def probe(self) -> Request:
        return self._get((self._options.probe or "").lstrip("/"))

    def fetch(self, entity: EntityMap, native_id: str) -> Request:
        return self._get(_one(entity, native_id))

    def fetched(self, entity: EntityMap, reply: Reply) -> Native | None:
        return _record(json_body.decode(reply.content))

    def search(self, entity: EntityMap, search: Search) -> Request:
        cursor = _Cursor.read(search.cursor)
        if cursor.link is not None:
            return Request(method="GET", url=self._followed(cursor.link), headers=dict(self._reading))
        options = [f"$top={search.limit}"]
        if search.conditions:
            options.append("$filter=" + quote(" and ".join(map(_condition, search.conditions)), safe=_SAFE))
        if entity.spec.order is not None:
            options.append("$orderby=" + quote(entity.spec.order, safe=_SAFE))
        if cursor.seen:
            options.append(f"$skip={cursor.seen}")
        return self._get(f"{entity.spec.resource}?{'&'.join(options)}")

    def listed(self, entity: EntityMap, search: Search, reply: Reply) -> Listing:
        body = json_body.decode(reply.content)
        records = at(body, "value")
        if not isinstance(records, list) or not all(type(r) is dict for r in cast("list[Any]", records)):
            raise Broken("the answer has no list of records")
        rows = cast("list[Native]", records)
        before = _Cursor.read(search.cursor)
        wanted = before.wanted if before.link is not None else search.limit
        seen, wanted = before.seen + len(rows), wanted - len(rows)
        link = body.get("@odata.nextLink")
        if link is not None:
            self._followed(link)
            return Listing(records=rows, next_cursor=_Cursor(seen=seen, wanted=wanted, link=link).text)
        # The service ends its own pages where our $top is reached: only then there may be more to skip to.
        return Listing(records=rows, next_cursor=_Cursor(seen=seen).text if rows and wanted <= 0 else None)

    def prepare(self, entity: EntityMap, change: Change) -> Request | None:
        return None

    def create(self, entity: EntityMap, change: Change) -> Request:
        external = entity.spec.external
        if not self._options.upsert or external is None:
            return self._write("POST", entity.spec.resource, change, change.record)
        record = dict(change.record)
        key = record.pop(external.path)
        return self._write(
            "PATCH", f"{entity.spec.resource}({external.path}={_literal(key)})", change, record
        )

    def update(self, entity: EntityMap, change: Change, prepared: Reply | None) -> Request:
        return self._write(self._options.update_method, _one(entity, change.native_id), change, change.record)

    def act(self, entity: EntityMap, change: Change) -> Request:
        name = f"{self._options.namespace}.{change.action}" if self._options.namespace else str(change.action)
        return self._write("POST", f"{_one(entity, change.native_id)}/{name}", change, change.record)

    def written(self, entity: EntityMap, reply: Reply) -> Written:
        version = reply.headers.get("ETag")
        record = _record(json_body.decode(reply.content)) if reply.content else None
        if record is not None:
            key = getter(entity.spec.key)(record)
            if key is None:
                raise Broken(f"the answer to a write has no {entity.spec.key}")
            return Written(native_id=str(key), version=version or record.get("@odata.etag"), record=record)
        link = reply.headers.get("OData-EntityId") or reply.headers.get("Location")
        return Written(native_id=_key_of(link) if link else None, version=version)

    def problem(self, entity: EntityMap | None, reply: Reply) -> tuple[int, Problem] | None:
        if 200 <= reply.status < 300:
            return None
        try:
            body = json_body.decode(reply.content)
        except Broken:
            return reply.status, Problem(message=words(reply.content))
        found = problem_in(body, self._codes, self._messages, self._fields)
        field = entity.canonical_path(found.field) if entity is not None and found.field else None
        return reply.status, Problem(code=found.code, message=words(found.message.encode()), field=field)

    def login(self, auth: Mapping[str, Any]) -> Request:
        raise Misconfigured("a session is not known to protocol odata; use basic or bearer")

    def session(self, auth: Mapping[str, Any], reply: Reply) -> dict[str, str]:
        raise Misconfigured("a session is not known to protocol odata; use basic or bearer")

    def batch(self, groups: Sequence[Sequence[Request]]) -> Request:
        """One request for many writes; each group is done as a whole or not at all. Ids are
        ``group.part``."""
        requests = [
            {
                "id": f"{g}.{p}",
                "atomicityGroup": f"g{g}",
                "method": part.method,
                "url": part.url.removeprefix(f"{self._base}/"),
                "headers": {name.lower(): text for name, text in part.headers.items()},
                **({} if part.content is None else {"body": json_body.decode(part.content)}),
            }
            for g, group in enumerate(groups)
            for p, part in enumerate(group)
        ]
        return Request(
            method="POST",
            url=f"{self._base}/{self._options.batch}",
            headers=dict(self._writing),
            content=json_body.encode({"requests": requests}),
        )

    def batched(self, groups: Sequence[Sequence[Request]], reply: Reply) -> list[list[Part]]:
        """The parts of each group. A group is done only if ``done`` says so: products answer 201 to parts of
        a group that was rolled back."""
        answers = at(json_body.decode(reply.content), "responses")
        try:
            parts = {part.id: part for part in msgspec.convert(answers, list[Part])}
            return [[parts[f"{g}.{p}"] for p in range(len(group))] for g, group in enumerate(groups)]
        except msgspec.ValidationError as error:
            raise Broken(f"the answer to a batch cannot be read: {error}") from error
        except KeyError as error:
            raise Broken(f"the answer to a batch lacks part {error}") from error

    def _get(self, path: str) -> Request:
        return Request(method="GET", url=f"{self._base}/{path}", headers=dict(self._reading))

    def _write(self, method: str, path: str, change: Change, record: Native) -> Request:
        headers = dict(self._writing)
        if change.native_id:
            # Without a known version the write is unconditional, and says so: many services refuse to guess.
            headers["If-Match"] = change.version or "*"
        if self._options.idempotency_header is not None:
            headers[self._options.idempotency_header] = change.marker
        return Request(
            method=method, url=f"{self._base}/{path}", headers=headers, content=json_body.encode(record)
        )

    def _followed(self, link: Any) -> str:
        url = urljoin(f"{self._base}/", link) if isinstance(link, str) else ""
        if not url.startswith(f"{self._base}/"):
            raise Broken("the next page lies outside the system")
        return url


def done(group: Sequence[Part]) -> bool:
    """A group counts as done only if every part of it does."""
    return all(200 <= part.status < 300 for part in group)


def _record(body: Any) -> Native:
    if type(body) is not dict:
        raise Broken("the answer is not a record")
    return cast("Native", body)


def _literal(value: Any) -> str:
    if type(value) is str:
        return quote("'" + value.replace("'", "''") + "'", safe="-._~'")
    return str(value).lower() if type(value) is bool else str(value)


def _one(entity: EntityMap, native_id: str) -> str:
    key = CONVERTERS[entity.spec.key_convert].write(native_id)
    return f"{entity.spec.resource}({_literal(key)})"


def _key_of(link: str) -> str:
    inside = link.rpartition("(")[2].rstrip("/").removesuffix(")")
    return inside[1:-1].replace("''", "'") if inside.startswith("'") else inside


def _condition(condition: Condition) -> str:
    name = condition.name.replace(".", "/")
    values = [_filter_literal(value, bare=condition.bare) for value in condition.values]
    if condition.how == "since":
        return f"{name} ge {values[0]}"
    if condition.how == "contains":
        return f"contains({name},{values[0]})"
    if len(values) == 1:
        return f"{name} eq {values[0]}"
    return "(" + " or ".join(f"{name} eq {value}" for value in values) + ")"


def _filter_literal(value: Any, *, bare: bool) -> str:
    if type(value) is str:
        return value if bare else "'" + value.replace("'", "''") + "'"
    if value is None:
        return "null"
    return str(value).lower() if type(value) is bool else str(value)
