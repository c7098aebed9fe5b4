"""Renders templates into answers that carry the console's headers. Everything that a template prints is
escaped: what an ERP, a caller or a colleague wrote is hostile until it is shown as text."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response

from gateway.console import words
from gateway.console.assets import Assets, packaged

#: No inline script, no inline style, nothing from another host, and no frame around us.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: The API reference writes its styles into the page; it gets that one freedom, and only on its own page.
DOCS_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")

#: ``same-origin`` and not ``no-referrer``: with that a browser would send ``Origin: null`` with our own
#: forms.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
}

TEMPLATES = Path(__file__).parent / "templates"


def _table(environment: Environment, name: str) -> dict[str, Any]:
    """A table of the environment, which its own annotations leave without a type."""
    return cast("dict[str, Any]", getattr(environment, name))


@cache
def packaged_view(prefix: str) -> View:
    """The templates of the console, compiled once in a process; ``prefix`` is where its files are served."""
    return View(packaged(), prefix=prefix)


class View:
    """The templates with their filters, and the one way in which a page leaves."""

    def __init__(self, assets: Assets, *, prefix: str) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        _table(self._environment, "filters").update(words.FILTERS)
        _table(self._environment, "globals").update(words.GLOBALS, asset=assets.linker(prefix))

    def render(self, template: str, /, **context: Any) -> str:
        return self._environment.get_template(template).render(context)

    def answer(
        self,
        template: str,
        /,
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        policy: str = POLICY,
        **context: Any,
    ) -> Response[str]:
        return Response(
            self.render(template, **context),
            status_code=status,
            media_type="text/html",
            headers={**HEADERS, "Content-Security-Policy": policy, **(headers or {})},
        )
