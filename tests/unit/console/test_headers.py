"""What the console sends along with every answer, and that hostile text stays text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from litestar.testing import TestClient

from gateway.ledger.slices import SliceChange
from tests.console.fakes import FakeGateway

Client = TestClient[Any]
SignIn = Callable[..., httpx.Response]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PAGES = (
    "/console",
    "/console/login",
    "/console/matrix",
    "/console/slices/invoice/EMEA",
    "/console/diffs",
    "/console/diffs/dif_01930001",
    "/console/diffs.csv",
    "/console/reconciliations",
    "/console/reconciliations/rcn_1",
    "/console/reconciliations/rcn_1/records",
    "/console/reconciliations/rcn_1/records.csv",
    "/console/reconciliations/rcn_1/bridge.csv",
    "/console/records/inv_1",
    "/console/diffs/none",
    "/console/slices/invoice/MARS",
)
#: What people and ERPs have been known to put into a text field.
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</textarea><svg onload=alert(1)>",
    '" hx-get="/console/logout" hx-trigger="load" x="',
    "{{ 7 * 7 }}{% for x in y %}",
    "javascript:alert(1)",
)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_carries_the_strict_policy(client: Client, sign_in: SignIn, page: str) -> None:
    """No inline script, no inline style, no other host, no frame, no sniffing, no copy in a cache: on every
    answer."""
    sign_in()
    answer = client.get(page)
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"


def test_the_api_reference_may_style_itself_and_nothing_more(client: Client) -> None:
    """/docs has the same policy with inline styles, and needs no session: the contract is no secret."""
    answer = client.get("/docs")
    assert answer.status_code == 200
    wanted = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
    assert answer.headers["content-security-policy"] == wanted


@pytest.mark.parametrize("page", [*(page for page in PAGES if not page.endswith(".csv")), "/docs"])
def test_no_page_holds_inline_script_or_style_or_a_foreign_address(
    client: Client, sign_in: SignIn, page: str
) -> None:
    """What the policy would block is not there in the first place."""
    sign_in()
    text = client.get(page).text
    assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>", text)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"|hx-on", text)
    assert not re.search(r"""(src|href|action|url)=["'](https?:)?//""", text)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_never_run(
    client: Client, gateway: FakeGateway, sign_in: SignIn, text: str
) -> None:
    """Whatever an ERP, a caller or a colleague wrote arrives on each page as the same text."""
    gateway.diffs.rows = [
        msgspec.structs.replace(
            row,
            region=text,
            record_id=text,
            resolved_by=text,
            operation_id=text,
            not_compared=(text,),
            differences=tuple(
                msgspec.structs.replace(
                    one, path=text, field=text, authority=text, other={text: [text]}, explained=text
                )
                for one in row.differences
            ),
        )
        for row in gateway.diffs.rows[-3:]
    ]
    gateway.diffs.found = [
        msgspec.structs.replace(
            one, fields=tuple(msgspec.structs.replace(field, field=text, kind=text) for field in one.fields)
        )
        for one in gateway.diffs.found
    ]
    change = SliceChange(
        version=9,
        at="2026-11-23T09:30:00Z",
        actor=text,
        reason=text,
        before=None,
        after={"stage": text},
        overridden=(text,),
    )
    gateway.slices.changes["invoice", "EMEA"] = [change]
    gateway.keys.rows = {
        key: msgspec.structs.replace(row, name=text) for key, row in gateway.keys.rows.items()
    }
    sign_in()
    plain = str(text)
    for page in ("/console", "/console/slices/invoice/EMEA", "/console/diffs", "/console/diffs/dif_01930001"):
        answer = client.get(page)
        assert answer.status_code == 200
        if re.search(r"[<>\"']", plain):
            assert plain not in answer.text
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert "<svg onload" not in answer.text
        assert '" hx-get="/console/logout"' not in answer.text
        assert "49" not in re.findall(r"who-name\">([^<]*)<", answer.text)
        assert 'href="javascript:' not in answer.text


def test_typed_text_comes_back_as_text(client: Client, sign_in: SignIn, csrf: Callable[[], str]) -> None:
    """A refused form shows what was typed, and does not run it."""
    sign_in()
    fields = {"csrf": csrf(), "stage": "", "reason": HOSTILE[3], "expected_version": "3"}
    answer = client.post("/console/slices/invoice/EMEA", data=fields)
    assert answer.status_code == 422
    assert "&lt;/textarea&gt;&lt;svg onload=alert(1)&gt;" in answer.text
    assert "<svg onload" not in answer.text
