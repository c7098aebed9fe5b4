"""``/docs``: the API reference, from vendored files over ``/openapi.json``. Nothing on it leaves the
machine."""

from __future__ import annotations

from litestar import Response, Router, get

from gateway.console.assets import packaged
from gateway.console.view import DOCS_POLICY, packaged_view


def docs_router() -> Router:
    """The page and its files."""
    assets = packaged()
    view = packaged_view("/docs/static")

    @get("/", include_in_schema=False, sync_to_thread=False)
    def page() -> Response[str]:
        return view.answer("docs.html", policy=DOCS_POLICY)

    return Router(path="/docs", route_handlers=[page, assets.handler("/static")], include_in_schema=False)
