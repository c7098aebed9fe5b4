"""Signing in, staying in, and what a form must bring."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from litestar.testing import TestClient

from gateway.console.session import Sessions
from tests.console.fakes import FULL, LOOK_ONLY, MACHINE, START, FakeGateway

Client = TestClient[Any]
SignIn = Callable[..., httpx.Response]
PAGES = (
    "/console",
    "/console/diffs",
    "/console/diffs/dif_01930001",
    "/console/diffs.csv",
    "/console/reconciliations",
    "/console/reconciliations/rcn_1/records.csv",
    "/console/records/inv_1",
)


@pytest.mark.parametrize("page", PAGES)
def test_without_a_session_every_page_leads_to_the_door(client: Client, page: str) -> None:
    """Nothing is shown to nobody, and whoever signs in comes out where they wanted to go."""
    answer = client.get(page)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/console/login?next=%2Fconsole")


def test_a_fragment_without_a_session_sends_the_whole_page_to_the_door(client: Client) -> None:
    """A sign-in page is never swapped into the middle of a matrix."""
    current = "http://console.example/console/diffs?entity=invoice"
    answer = client.get("/console/matrix", headers={"hx-request": "true", "hx-current-url": current})
    assert answer.status_code == 401
    assert answer.text == ""
    assert (
        answer.headers["hx-redirect"]
        == "/console/login?note=ended&next=%2Fconsole%2Fdiffs%3Fentity%3Dinvoice"
    )


def test_the_cookie_holds_no_key_and_no_script_reads_it(sign_in: SignIn) -> None:
    """The cookie is HttpOnly, SameSite=Strict, for the whole host, for eight hours, and without the key in
    it."""
    answer = sign_in(next="/console/diffs")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/console/diffs"
    cookie = answer.headers["set-cookie"]
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert parts == {"httponly", "samesite=strict", "path=/", "max-age=28800"}
    assert FULL not in cookie


def test_over_https_the_cookie_is_secure_and_bound_to_the_host(gateway: FakeGateway) -> None:
    """Over HTTPS, and behind a proxy that ends it, the cookie is Secure and carries the __Host- prefix."""
    for secure, base in ((None, "https://console.example"), (True, "http://console.example")):
        with TestClient(gateway.asgi(secure=secure), base_url=base) as client:
            answer = client.post(
                "/console/login", data={"key": FULL}, headers={"origin": base}, follow_redirects=False
            )
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-twinrun=")
        assert "Secure" in cookie


@pytest.mark.parametrize(
    ("key", "status", "said"),
    [
        ("twk_wrong", 401, "A valid API key is needed"),
        ("", 401, "A valid API key is needed"),
        (MACHINE, 403, "does not carry the scope"),
    ],
    ids=["unknown", "empty", "no admin scope"],
)
def test_a_key_that_may_not_look_stays_outside(
    sign_in: SignIn, client: Client, key: str, status: int, said: str
) -> None:
    """A wrong key, and a key of the business side, get no session, and are told what to do."""
    answer = sign_in(key)
    assert answer.status_code == status
    assert said in answer.text
    assert "set-cookie" not in answer.headers
    assert client.get("/console").status_code == 303


@pytest.mark.parametrize(
    "next_page",
    [
        "https://evil.example/console",
        "//evil.example/console",
        "/console//evil.example",
        "/console/\\evil.example",
        "/consolexyz",
        "/v1/invoices",
        "/console/login?next=/console",
        "/console\r\nSet-Cookie: a=b",
    ],
)
def test_the_door_opens_only_into_the_console(sign_in: SignIn, next_page: str) -> None:
    """No link can use the door to send somebody elsewhere."""
    assert sign_in(next=next_page).headers["location"] == "/console"


@pytest.mark.parametrize(
    ("origin", "site", "opens"),
    [
        ("http://console.example", None, True),
        ("http://evil.example", None, False),
        ("http://console.example.evil.example", None, False),
        ("null", None, False),
        (None, "same-origin", True),
        (None, "same-site", False),
        (None, "cross-site", False),
        (None, None, False),
    ],
)
def test_a_form_is_taken_from_our_own_origin_only(
    client: Client, origin: str | None, site: str | None, opens: bool
) -> None:
    """A form from another site, or from nobody knows where, does nothing, the door's included."""
    del client.headers["origin"]
    headers = {
        name: value for name, value in (("origin", origin), ("sec-fetch-site", site)) if value is not None
    }
    answer = client.post("/console/login", data={"key": FULL}, headers=headers)
    assert answer.status_code == (303 if opens else 403)
    assert ("set-cookie" in answer.headers) is opens


@pytest.mark.parametrize("path", ["/console/logout", "/console/slices/invoice/EMEA"])
@pytest.mark.parametrize("token", [None, "", "x" * 43], ids=["none", "empty", "foreign"])
def test_a_form_needs_the_token_of_its_session(
    client: Client, gateway: FakeGateway, sign_in: SignIn, path: str, token: str | None
) -> None:
    """The right cookie alone changes nothing: the form must come from a page of this session."""
    sign_in()
    fields = {"stage": "live", "reason": "x", "expected_version": "3"}
    answer = client.post(path, data=fields if token is None else {**fields, "csrf": token})
    assert answer.status_code == 403
    assert gateway.switchover.calls == []
    assert client.get("/console").status_code == 200


def test_the_token_of_one_session_is_no_good_in_another(
    client: Client, sign_in: SignIn, csrf: Callable[[], str]
) -> None:
    """Tokens are bound to their session, even for the same key."""
    sign_in()
    first = csrf()
    sign_in()
    assert first != csrf()
    assert client.post("/console/logout", data={"csrf": first}).status_code == 403


def test_a_key_that_may_only_look_changes_nothing(
    client: Client, gateway: FakeGateway, sign_in: SignIn, csrf: Callable[[], str]
) -> None:
    """Without admin:write there is no form, and one that is made up is refused."""
    sign_in(LOOK_ONLY)
    panel = client.get("/console/slices/invoice/EMEA").text
    assert "it lacks the scope" in panel
    assert 'name="stage"' not in panel
    fields = {"csrf": csrf(), "stage": "live", "reason": "x", "expected_version": "3"}
    assert client.post("/console/slices/invoice/EMEA", data=fields).status_code == 403
    assert gateway.switchover.calls == []


def test_a_revoked_key_ends_its_sessions_within_a_second(
    client: Client, gateway: FakeGateway, sign_in: SignIn
) -> None:
    """The session is only as good as the key that opened it."""
    sign_in()
    assert client.get("/console").status_code == 200
    gateway.keys.revoke(FULL)
    gateway.clock.at += timedelta(seconds=1.1)
    assert client.get("/console").status_code == 303


def test_signing_out_ends_it(client: Client, sign_in: SignIn, csrf: Callable[[], str]) -> None:
    """After signing out the cookie is gone."""
    sign_in()
    answer = client.post("/console/logout", data={"csrf": csrf()})
    assert answer.headers["location"] == "/console/login?note=out"
    assert "Max-Age=0" in answer.headers["set-cookie"]


def test_half_an_hour_without_a_page_ends_it_and_polls_do_not_count(
    client: Client, gateway: FakeGateway, sign_in: SignIn
) -> None:
    """A page left open overnight is closed: only what a person asks for keeps a session alive."""
    sign_in()
    for _ in range(31):
        gateway.clock.at += timedelta(minutes=1)
        last = client.get("/console/matrix", headers={"hx-request": "true"})
        assert "set-cookie" not in last.headers
    assert last.status_code == 401


def test_pages_keep_it_alive_up_to_eight_hours(client: Client, gateway: FakeGateway, sign_in: SignIn) -> None:
    """Work keeps a session open; a working day ends it all the same."""
    sign_in()
    for _ in range(24):
        gateway.clock.at += timedelta(minutes=20)
        assert client.get("/console").status_code == 200
    gateway.clock.at += timedelta(minutes=1)
    assert client.get("/console").status_code == 303


def test_a_changed_cookie_opens_nothing() -> None:
    """Each character of the cookie is signed; nonsense is no error."""
    sessions = Sessions(b"s" * 32)
    cookie = sessions.sign(sessions.begin("key_1", START))
    assert sessions.open(cookie, START) is not None
    assert Sessions(b"t" * 32).open(cookie, START) is None
    for position in range(0, len(cookie), 7):
        other = "A" if cookie[position] != "A" else "B"
        changed = cookie[:position] + other + cookie[position + 1 :]
        # The last character of a base64 text holds bits that are dropped, so it may spell the same bytes.
        assert sessions.open(changed, START) is None or position in (cookie.index(".") - 1, len(cookie) - 1)
    for nonsense in (None, "", ".", "a.b", "é.é", "x" * 5000):
        assert sessions.open(nonsense, START) is None


def test_a_link_from_another_site_finds_the_session(client: Client, sign_in: SignIn) -> None:
    """The strict cookie stays behind on the first request of a link in a mail; the page asks once more for
    itself."""
    answer = client.get("/console/diffs/dif_01930001", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert '<meta http-equiv="refresh" content="0">' in answer.text
    assert client.get("/console/diffs", headers={"sec-fetch-site": "same-origin"}).status_code == 303
