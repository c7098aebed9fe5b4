"""OData V4 on the wire: what is sent, and what is made of the answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest
from pytest_httpx import HTTPXMock

from adapters.contract import Query
from adapters.errors import Conflict, NotFound, Rejected, Unreadable
from adapters.protocols.odata import OdataWire, done
from adapters.transport import Reply, Request
from tests.unit.adapters.systems import BASE, eur, profile, system, write

NATIVE = {
    "@odata.etag": 'W/"3"',
    "InvoiceNo": "I7",
    "CustomerNo": "C1",
    "Currency": "EUR",
    "IssueDate": "2026-11-20",
    "Status": "Draft",
    "Total": 119.10,
    "Note": None,
    "Lines": [{"LineNo": 1, "Quantity": 1.5, "Amount": 119.1, "TaxCode": "S"}],
    "ExternalId": "inv_1",
    "LastOperation": "op_1",
    "ModifiedAt": "2026-11-20T10:00:00.5Z",
}


async def test_fetch_reads_a_record_with_its_exact_amounts(httpx_mock: HTTPXMock) -> None:
    """Numbers stay decimal, whatever a float would make of them; version, marker and external id come
    along."""
    httpx_mock.add_response(
        url=f"{BASE}/Invoices('O''Brien%2F1')",
        content=json.dumps(NATIVE).replace("119.1,", "119.10,").encode(),
    )
    found = await system("odata").fetch("invoice", "O'Brien/1")
    assert found.native_id == "I7"
    assert (found.native_version, found.marker, found.external_id) == ('W/"3"', "op_1", "inv_1")
    assert found.modified_at == datetime(2026, 11, 20, 10, 0, 0, 500_000, tzinfo=UTC)
    assert found.fields["total"] == eur("119.10")
    assert found.fields["lines"] == [
        {"number": 1, "quantity": "1.5", "amount": eur("119.10"), "tax_code": "S"}
    ]
    assert found.fields["note"] is None


async def test_search_spells_its_filter(httpx_mock: HTTPXMock) -> None:
    """Text is quoted and escaped, dates and instants are bare, several values mean any of them."""
    httpx_mock.add_response(json={"value": []})
    await system("odata").search(
        "invoice",
        Query(
            where={"customer_id": "O'B", "state": ("draft", "posted"), "issue_date": "2026-11-20"},
            updated_since=datetime(2026, 11, 1, tzinfo=UTC),
            limit=20,
        ),
    )
    (sent,) = httpx_mock.get_requests()
    assert dict(sent.url.params) == {
        "$top": "20",
        "$filter": "CustomerNo eq 'O''B' and (Status eq 'Draft' or Status eq 'Posted')"
        " and IssueDate eq 2026-11-20 and ModifiedAt ge 2026-11-01T00:00:00.000000Z",
    }


@pytest.mark.parametrize(("limit", "after"), [(3, None), (2, "2")], ids=["the set ends", "our window ends"])
async def test_search_follows_the_servers_own_pages(
    httpx_mock: HTTPXMock, limit: int, after: str | None
) -> None:
    """The service cuts our window into pages of its own; behind the last of them there is more only if the
    window was filled."""
    httpx_mock.add_response(
        url=httpx.URL(f"{BASE}/Invoices", params={"$top": str(limit)}),
        json={"value": [NATIVE], "@odata.nextLink": "Invoices?$skiptoken=x"},
    )
    httpx_mock.add_response(url=f"{BASE}/Invoices?$skiptoken=x", json={"value": [NATIVE]})
    adapter = system("odata")
    first = await adapter.search("invoice", Query(limit=limit))
    second = await adapter.search("invoice", Query(limit=limit, cursor=first.next_cursor))
    assert (len(first.items), len(second.items), second.next_cursor) == (1, 1, after)
    if after is not None:
        window = httpx.URL(f"{BASE}/Invoices", params={"$top": str(limit), "$skip": after})
        httpx_mock.add_response(url=window, json={"value": []})
        last = await adapter.search("invoice", Query(limit=limit, cursor=after))
        assert (last.items, last.next_cursor) == ((), None)


@pytest.mark.parametrize(
    "link", ["http://elsewhere.test/Invoices", "//elsewhere.test/x", "http://erp.testing/x", 7]
)
async def test_a_next_link_never_leads_outside_the_system(httpx_mock: HTTPXMock, link: object) -> None:
    """Following it would hand our credentials to whoever wrote the link."""
    httpx_mock.add_response(json={"value": [], "@odata.nextLink": link})
    with pytest.raises(Unreadable):
        await system("odata").search("invoice", Query())


async def test_create_is_an_upsert_on_the_external_id(httpx_mock: HTTPXMock) -> None:
    """Class B: sent twice it makes one record; the marker goes along, folded and rounded values as
    declared."""
    httpx_mock.add_response(json=NATIVE, status_code=201, headers={"ETag": 'W/"1"'})
    receipt = await system("odata").create(
        write(
            "invoice",
            {
                "customer_id": "C1",
                "currency": "EUR",
                "issue_date": "2026-11-20",
                "state": "draft",
                "total": eur("119.10"),
                "note": "ten letters and more",
                "number": "ignored, the product numbers it",
                "lines": [{"number": 1, "quantity": "1.505", "amount": eur("119.10")}],
                "unheard_of": 1,
            },
            headers={"traceparent": "00-1-2-01"},
        )
    )
    (sent,) = httpx_mock.get_requests()
    assert (sent.method, str(sent.url)) == ("PATCH", f"{BASE}/Invoices(ExternalId='inv_0192f0bb')")
    assert "If-Match" not in sent.headers
    assert sent.headers["traceparent"] == "00-1-2-01"
    assert json.loads(sent.content, parse_float=Decimal) == {
        "CustomerNo": "C1",
        "Currency": "EUR",
        "IssueDate": "2026-11-20",
        "Status": "Draft",
        "Total": Decimal("119.10"),
        "Note": "ten letter",
        "Lines": [{"LineNo": 1, "Quantity": Decimal("1.51"), "Amount": Decimal("119.10")}],
        "LastOperation": "op_0192f0aa",
    }
    assert (receipt.native_id, receipt.native_version) == ("I7", 'W/"1"')
    assert receipt.fields["number"] == "I7"


@pytest.mark.parametrize(("version", "sent_version"), [('W/"3"', 'W/"3"'), (None, "*")])
async def test_update_carries_its_condition(
    httpx_mock: HTTPXMock, version: str | None, sent_version: str
) -> None:
    """The last known version is the condition; without one the write says that it is unconditional."""
    httpx_mock.add_response(json=NATIVE)
    await system("odata").update(write("invoice", {"note": None}, native_id="I7", native_version=version))
    (sent,) = httpx_mock.get_requests()
    assert (sent.method, sent.headers["If-Match"]) == ("PATCH", sent_version)
    assert json.loads(sent.content) == {"Note": None, "LastOperation": "op_0192f0aa"}


@pytest.mark.parametrize(
    ("state", "method", "path", "body"),
    [
        ("posted", "POST", "/Invoices('I7')/Billing.Post", {"LastOperation": "op_0192f0aa"}),
        ("ready", "PATCH", "/Invoices('I7')", {"Status": "Ready", "LastOperation": "op_0192f0aa"}),
    ],
    ids=["an action where the profile names one", "else an update of the state"],
)
async def test_transition(httpx_mock: HTTPXMock, state: str, method: str, path: str, body: object) -> None:
    """A state change is the product's action, or an update of its state field."""
    httpx_mock.add_response(status_code=204, headers={"ETag": 'W/"4"'})
    receipt = await system("odata").transition(write("invoice", {}, native_id="I7", to_state=state))
    (sent,) = httpx_mock.get_requests()
    assert (sent.method, sent.url.path, json.loads(sent.content)) == (method, path, body)
    assert (receipt.native_id, receipt.native_version) == ("I7", 'W/"4"')


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (422, "CustomerBlocked", Rejected),
        (404, "NotFound", NotFound),
        (412, "Stale", Conflict),
        (409, "Twin", Conflict),
    ],
)
async def test_a_refusal_keeps_the_systems_words(
    httpx_mock: HTTPXMock, status: int, code: str, error: type[Rejected]
) -> None:
    """Code, message and the canonical field, whatever the status."""
    httpx_mock.add_response(
        status_code=status,
        json={
            "error": {"code": code, "message": "Line 2: <b>unknown</b>\n tax", "target": "Lines/1/TaxCode"}
        },
    )
    with pytest.raises(error) as caught:
        await system("odata").update(write("invoice", {"note": "x"}, native_id="I7"))
    assert type(caught.value) is error
    assert (caught.value.code, caught.value.message, caught.value.field) == (
        code,
        "Line 2: unknown tax",
        "lines[].tax_code",
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>fine</html>",
        b'"text"',
        b"[]",
        b'{"Status": "Draft"}',
        b'{"InvoiceNo":"1","Status":"Elsewhere"}',
    ],
    ids=["nothing", "html", "text", "list", "no key", "unknown code"],
)
async def test_a_success_that_cannot_be_read_is_no_success(httpx_mock: HTTPXMock, content: bytes) -> None:
    """Nonsense with status 200 leaves the outcome open; it is never taken for applied or for absent."""
    httpx_mock.add_response(content=content)
    with pytest.raises(Unreadable):
        await system("odata").fetch("invoice", "I7")


def test_a_batch_group_is_done_only_if_every_part_is() -> None:
    """Products answer 201 to the first part of a group that was rolled back."""
    wire = OdataWire(profile("odata"), BASE, {})
    parts = [
        Request(
            method="POST", url=f"{BASE}/Invoices", headers={"Content-Type": "x"}, content=b'{"Total":1.10}'
        )
    ] * 2
    request = wire.batch([parts, parts[:1]])
    sent = json.loads(request.content or b"")["requests"]
    assert [(part["id"], part["atomicityGroup"], part["url"]) for part in sent] == [
        ("0.0", "g0", "Invoices"),
        ("0.1", "g0", "Invoices"),
        ("1.0", "g1", "Invoices"),
    ]
    answer = {
        "responses": [
            {"id": "0.0", "status": 201},
            {"id": "1.0", "status": 201},
            {"id": "0.1", "status": 422},
        ]
    }
    groups = wire.batched(
        [parts, parts[:1]], Reply(status=200, headers={}, content=json.dumps(answer).encode())
    )
    assert [done(group) for group in groups] == [False, True]
