"""The way in and out."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from gateway.console.guard import AnyRequest, Guard, fields
from gateway.console.refusal import told
from gateway.console.respond import Respond
from gateway.console.view import HEADERS
from gateway.errors import Forbidden, Unauthenticated

NOTES = {
    "ended": "The session has ended: it lasts 8 hours, and 30 minutes without a page asked for.",
    "out": "Signed out.",
}


class SignInPages:
    def __init__(self, *, guard: Guard, respond: Respond) -> None:
        self._guard = guard
        self._respond = respond

    def handlers(self) -> list[HTTPRouteHandler]:
        @get("/login", include_in_schema=False, sync_to_thread=False)
        def page(request: AnyRequest) -> Response[str]:
            note = NOTES.get(request.query_params.get("note", ""), "")
            return self._respond.login(next_page=_inside(request.query_params.get("next", "")), note=note)

        @post("/login", include_in_schema=False)
        async def sign_in(request: AnyRequest) -> Response[Any]:
            self._guard.own_origin(request)
            form = await fields(request)
            next_page = _inside(form.get("next", ""))
            try:
                session = await self._guard.sign_in(form.get("key", ""))
            except (Unauthenticated, Forbidden) as refused:
                return self._respond.login(next_page=next_page, refused=told(refused))
            response: Response[Any] = Redirect(next_page, status_code=303, headers=HEADERS)
            self._guard.keep(request, response, session)
            return response

        @post("/logout", include_in_schema=False)
        async def sign_out(request: AnyRequest) -> Response[Any]:
            await self._guard.submitted(request, change=False)
            response: Response[Any] = Redirect("/console/login?note=out", status_code=303, headers=HEADERS)
            self._guard.forget(request, response)
            return response

        return [page, sign_in, sign_out]


def _inside(address: str) -> str:
    """``address`` where it is a page of the console, else its first page: nobody is sent elsewhere after
    signing in."""
    inside = address == "/console" or address.startswith(("/console/", "/console?"))
    plain = address.isprintable() and "\\" not in address and "//" not in address.partition("?")[0]
    return address if inside and plain and not address.startswith("/console/login") else "/console"
