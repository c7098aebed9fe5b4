"""Renders templates into answers that carry the console's headers. Everything that a template prints is escaped:
what an ERP, a caller or a colleague wrote is hostile until it is shown as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response

from gateway.console import words
from gateway.console.assets import Assets

#: No inline script, no inline style, nothing from another host, and no frame around us.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: The API reference writes its styles into the page; it gets that one freedom, and only on its own page.
DOCS_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")

#: ``same-origin`` and not ``no-referrer``: with that a browser would send ``Origin: null`` with our own forms.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

TEMPLATES = Path(__file__).parent / "templates"


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
        self._environment.filters.update(words.FILTERS)
        self._environment.globals.update(words.GLOBALS, asset=assets.linker(prefix))

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
