"""Answers of the console: pages that renew their session, and refusals as pages."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from litestar import Response
from litestar.exceptions import HTTPException
from litestar.response import Redirect

from gateway.console.guard import AnyRequest, Guard, Person, SignInNeeded
from gateway.console.refusal import Told, told
from gateway.console.view import HEADERS, POLICY, View
from gateway.errors import GatewayError


class Respond:
    def __init__(self, *, view: View, guard: Guard) -> None:
        self._view = view
        self._guard = guard

    def page(
        self,
        request: AnyRequest,
        person: Person,
        template: str,
        /,
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        **context: Any,
    ) -> Response[str]:
        response = self._view.answer(template, status=status, headers=headers, person=person, **context)
        if person.renewed is not None:
            self._guard.keep(request, response, person.renewed)
        return response

    def login(self, *, next_page: str, note: str = "", refused: Told | None = None) -> Response[str]:
        status = 200 if refused is None else refused.status
        return self._view.answer("login.html", status=status, next=next_page, note=note, refused=refused)

    # --- refusals ---

    def refused(self, request: AnyRequest, error: Exception) -> Response[Any]:
        """Any refusal as a page; for a fragment, as what the page should do about it."""
        if isinstance(error, SignInNeeded):
            return self._sign_in(request)
        if isinstance(error, GatewayError):
            said = told(error)
        elif isinstance(error, HTTPException) and error.status_code < 500:
            said = Told(
                status=error.status_code,
                title="The request cannot be read",
                detail="",
                remedy="Go back to the page that it came from, and try again.",
            )
        else:
            raise error
        if request.headers.get("hx-request") == "true":
            return self._view.answer("refusal_part.html", status=said.status, said=said)
        return self._view.answer("refusal.html", status=said.status, said=said)

    def _sign_in(self, request: AnyRequest) -> Response[Any]:
        if request.headers.get("hx-request") == "true":
            page = urlsplit(request.headers.get("hx-current-url", ""))
            address = f"/console/login?note=ended&next={_quoted(page.path, page.query)}"
            return Response("", status_code=401, headers={**HEADERS, "HX-Redirect": address})
        if request.headers.get("sec-fetch-site") == "cross-site" and not self._guard.has_cookie(request):
            # A link in a mail or a chat: the browser kept our strict cookie back. Asked again from our own
            # page, it sends it.
            return self._view.answer("again.html", policy=POLICY)
        asked = (request.url.path, request.url.query) if request.method == "GET" else ("/console", "")
        return Redirect(f"/console/login?next={_quoted(*asked)}", status_code=303, headers=HEADERS)


def _quoted(path: str, query: str) -> str:
    return quote(f"{path}?{query}" if query else path, safe="")
