"""The ERP seen from outside: plain calls with Python values, nothing shared with the adapters under test."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx

from tests.systems.tryton60.home import ADMIN, DATABASE


class Look:
    """A session of its own, an administrator's unless told otherwise."""

    def __init__(self, base_url: str, login: tuple[str, str] = ADMIN) -> None:
        self._client = httpx.Client(base_url=base_url, timeout=30, trust_env=False)
        name, password = login
        user, session = self._post("common.db.login", [name, {"password": password}])
        self._client.auth = _SessionAuth(name, user, session)

    def call(self, method: str, *params: Any, context: dict[str, Any] | None = None) -> Any:
        """``look.call("model.party.party.read", [1], ["name"])``."""
        return _plain(self._post(method, [*params, context or {}]))

    def rows(self, model: str, domain: list[Any], fields: list[str]) -> list[dict[str, Any]]:
        return self.call(f"model.{model}.search_read", domain, 0, None, [["id", "ASC"]], fields)

    def _post(self, method: str, params: list[Any]) -> Any:
        answer = self._client.post(
            f"/{DATABASE}/", json={"id": 1, "method": method, "params": _tagged(params)}
        )
        answer.raise_for_status()
        body = answer.json()
        if "error" in body:
            raise Refused(*body["error"])
        return body["result"]

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Look:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Refused(Exception):
    """The ERP answered a call from outside with an error frame; the arguments are the frame."""


class _SessionAuth(httpx.Auth):
    def __init__(self, login: str, user: int, session: str) -> None:
        self._header = "Session " + base64.b64encode(f"{login}:{user}:{session}".encode()).decode()

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        request.headers["Authorization"] = self._header
        yield request


def _plain(value: Any) -> Any:
    match value:
        case {"__class__": "Decimal", "decimal": text}:
            return Decimal(text)
        case {"__class__": "date", "year": y, "month": m, "day": d}:
            return date(y, m, d)
        case {"__class__": "datetime", **parts}:
            return datetime(
                *(
                    parts[name]
                    for name in ("year", "month", "day", "hour", "minute", "second", "microsecond")
                ),
                tzinfo=UTC,
            )
        case {"__class__": "timedelta", "seconds": seconds}:
            return timedelta(seconds=seconds)
        case dict():
            return {key: _plain(part) for key, part in value.items()}
        case list():
            return [_plain(part) for part in value]
        case _:
            return value


def _tagged(value: Any) -> Any:
    match value:
        case Decimal():
            return {"__class__": "Decimal", "decimal": str(value)}
        case date():
            return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}
        case timedelta():
            return {"__class__": "timedelta", "seconds": value.total_seconds()}
        case dict():
            return {key: _tagged(part) for key, part in value.items()}
        case list() | tuple():
            return [_tagged(part) for part in value]
        case _:
            return value
