"""Paths."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.http.match import Paths
from gateway.http.reply import Reply
from gateway.http.route import Gives, Route


async def _handle(exchange: Any) -> Reply:
    return Reply(200)


def route(path: str, method: Any = "GET") -> Route:
    return Route(
        method=method,
        path=path,
        name=path,
        tag="t",
        summary="s",
        scope=None,
        handle=_handle,
        gives=(Gives(status=200, description="d"),),
    )


PATHS = Paths(
    [
        route("/v1/customers"),
        route("/v1/customers", "POST"),
        route("/v1/customers/{id}"),
        route("/v1/customers/{id}/transitions", "POST"),
        route("/v1/customers/by-ref/{system}/{native_id}"),
        route("/admin/v1/diffs/summary"),
        route("/admin/v1/diffs/{id}"),
    ]
)


@pytest.mark.parametrize(
    ("path", "template", "values"),
    [
        ("/v1/customers", "/v1/customers", {}),
        ("/v1/customers/cus_1", "/v1/customers/{id}", {"id": "cus_1"}),
        ("/v1/customers/a%2Fb", "/v1/customers/{id}", {"id": "a/b"}),
        ("/v1/customers/x/transitions", "/v1/customers/{id}/transitions", {"id": "x"}),
        (
            "/v1/customers/by-ref/legacy/INV/2026//1",
            "/v1/customers/by-ref/{system}/{native_id}",
            {"system": "legacy", "native_id": "INV/2026//1"},
        ),
        (
            "/v1/customers/by-ref/cloud/a%2Fb%20c",
            "/v1/customers/by-ref/{system}/{native_id}",
            {"system": "cloud", "native_id": "a/b c"},
        ),
        ("/admin/v1/diffs/summary", "/admin/v1/diffs/summary", {}),
        ("/admin/v1/diffs/dif_1", "/admin/v1/diffs/{id}", {"id": "dif_1"}),
    ],
)
def test_found(path: str, template: str, values: dict[str, str]) -> None:
    """A path leads to one place; a name that is written out goes before a parameter."""
    found = PATHS.find(path)
    assert found is not None
    assert (found[0].template, found[1]) == (template, values)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/v1",
        "/v1/",
        "/v1/customers/",
        "/v1//customers",
        "/v1/Customers",
        "/v1/customers/by-ref/legacy",
        "/v1/customers/by-ref/legacy/",
        "/v1/customers/x/y",
        "/v1/customers/%FF",
        "/v1x/customers",
        "/v1/customers/{id}/",
    ],
)
def test_not_found(path: str) -> None:
    """There is one spelling of each path, and nothing beside it."""
    assert PATHS.find(path) is None


def test_methods_of_a_place() -> None:
    """HEAD is taken where GET is, and Allow names all."""
    found = PATHS.find("/v1/customers")
    assert found is not None
    assert found[0].allow == "GET, HEAD, POST"


def test_route_cannot_be_declared_twice() -> None:
    """Two routes of one method at one path stop the start."""
    with pytest.raises(ValueError, match="twice"):
        Paths([route("/v1/a"), route("/v1/a")])
