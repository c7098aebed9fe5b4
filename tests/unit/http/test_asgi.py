"""Whatever the framework, or a page beside the API, cannot answer is told in our words."""

from __future__ import annotations

from typing import Any

import pytest
from litestar import get
from litestar.exceptions import (
    ClientException,
    HTTPException,
    ImproperlyConfiguredException,
    MethodNotAllowedException,
    NotAuthorizedException,
    NotFoundException,
    PermissionDeniedException,
    ServiceUnavailableException,
    TooManyRequestsException,
    ValidationException,
)
from litestar.testing import TestClient

from gateway.errors import NotFoundHere
from tests.unit.http.fakes import World

RAISED: list[tuple[Exception, int]] = [
    (ClientException("secret"), 400),
    (ValidationException("secret"), 400),
    (NotAuthorizedException("secret"), 401),
    (PermissionDeniedException("secret"), 403),
    (NotFoundException("secret"), 404),
    (MethodNotAllowedException("secret"), 405),
    (HTTPException("secret", status_code=413), 413),
    (HTTPException("secret", status_code=415), 415),
    (TooManyRequestsException("secret"), 429),
    (ServiceUnavailableException("secret"), 500),
    (HTTPException("secret", status_code=418), 500),
    (ImproperlyConfiguredException("secret"), 500),
    (RuntimeError("secret"), 500),
    (NotFoundHere("told"), 404),
]


@pytest.mark.parametrize(("raised", "status"), RAISED, ids=lambda value: type(value).__name__)
def test_what_a_page_raises_is_a_problem(world: World, raised: Exception, status: int) -> None:
    """No error of the framework leaves in the framework's own form, and its words stay inside."""

    @get("/page", sync_to_thread=False)
    def page() -> None:
        raise raised

    with TestClient(world.app(handlers=[page]), raise_server_exceptions=False) as client:
        answer = client.get("/page")
        body: dict[str, Any] = answer.json()
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert body["type"].startswith("urn:twinrun:problem:")
        assert "secret" not in answer.text
        assert "extra" not in body
        assert "status_code" not in body


@pytest.mark.parametrize(
    "path", ["/", "/nowhere", "/v1", "/v1x/customers", "/admin", "/admin/v1/", "/schema", "/docs"]
)
def test_unknown_paths(world: World, path: str) -> None:
    """A path that is nobody's is our 404, at every level of the routing."""
    with TestClient(world.app()) as client:
        answer = client.get(path)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:twinrun:problem:route-not-found")
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_host_that_is_none(world: World) -> None:
    """A Host header that cannot be one is refused by the framework, in our words."""
    with TestClient(world.app(), raise_server_exceptions=False) as client:
        answer = client.get("/health/live", headers={"Host": 'a"b'})
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:twinrun:problem:malformed")


def test_pages_are_served_beside_the_api(world: World) -> None:
    """The console's handlers stand beside ours and keep their own form."""

    @get("/console", sync_to_thread=False, media_type="text/html")
    def console() -> str:
        return "<p>hello</p>"

    with TestClient(world.app(handlers=[console])) as client:
        assert client.get("/console").text == "<p>hello</p>"
