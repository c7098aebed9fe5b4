"""REST with XML and with JSON bodies on the wire."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from pytest_httpx import HTTPXMock

from adapters.contract import Query
from adapters.errors import Rejected, Unavailable, Unreadable
from adapters.protocols import xml_body
from adapters.wire import Broken
from tests.unit.adapters.systems import BASE, eur, system, write

XML = """<?xml version="1.0" encoding="UTF-8"?>
<Rechnung><BelegNr>902</BelegNr><Kunde>100001</Kunde><Waehrung>EUR</Waehrung><Datum>20.11.2026</Datum>
<Status>B</Status><Brutto>1.119,10</Brutto><Positionen><Position><PosNr>1</PosNr><Betrag>1119,10</Betrag>
<Quellen><Quelle>tim_1</Quelle></Quellen></Position></Positionen><Referenz>op_1</Referenz>
<Aenderung>20.11.2026 10:00:00</Aenderung></Rechnung>"""


async def test_fetch_reads_xml(httpx_mock: HTTPXMock) -> None:
    """Comma decimals, dotted dates and codes become canonical; an element that is missing is None, a list is
    []."""
    httpx_mock.add_response(url=f"{BASE}/Rechnungen/902", content=XML.encode())
    found = await system("rest_xml").fetch("invoice", "902")
    assert found.fields == {
        "customer_id": "100001",
        "currency": "EUR",
        "issue_date": "2026-11-20",
        "state": "posted",
        "total": eur("1119.10"),
        "note": None,
        "lines": [{"number": 1, "amount": eur("1119.10"), "source_ids": ["tim_1"]}],
    }
    assert (found.marker, found.modified_at) == ("op_1", datetime(2026, 11, 20, 10, tzinfo=UTC))


async def test_create_writes_xml(httpx_mock: HTTPXMock) -> None:
    """Text is escaped, None and [] are elements without content, the marker is in the record."""
    httpx_mock.add_response(status_code=201, headers={"Location": "/Rechnungen/903"})
    receipt = await system("rest_xml").create(
        write(
            "invoice",
            {"currency": "EUR", "note": "a < b & c", "total": eur("1.50"), "issue_date": None, "lines": []},
        )
    )
    (sent,) = httpx_mock.get_requests()
    assert (sent.method, sent.url.path, sent.headers["Content-Type"]) == (
        "POST",
        "/Rechnungen",
        "application/xml; charset=utf-8",
    )
    assert sent.content.decode() == (
        '<?xml version="1.0" encoding="UTF-8"?><Rechnung><Waehrung>EUR</Waehrung><Datum/>'
        "<Brutto>1,50</Brutto>"
        "<Text>a &lt; b &amp; c</Text><Positionen></Positionen><Referenz>op_0192f0aa</Referenz></Rechnung>"
    )
    assert receipt.native_id == "903"


async def test_search_pages_by_offset_and_total(httpx_mock: HTTPXMock) -> None:
    """The cursor is the offset; the total says when it ends, so that a full last page is not followed by an
    empty one."""
    page = f'<Liste Gesamt="2">{XML.partition("?>")[2].strip()}</Liste>'
    httpx_mock.add_response(content=page.encode(), is_reusable=True)
    adapter = system("rest_xml")
    query = Query(
        where={"customer_id": ("1", "2"), "state": "draft"},
        limit=1,
        updated_since=datetime(2026, 11, 1, tzinfo=UTC),
    )
    first = await adapter.search("invoice", query)
    second = await adapter.search("invoice", Query(limit=1, cursor=first.next_cursor))
    assert (first.next_cursor, second.next_cursor) == ("1", None)
    one, two = httpx_mock.get_requests()
    assert one.url.query.decode() == "kunde=1&kunde=2&Status=E&geaendert_ab=01.11.2026+00%3A00%3A00&anzahl=1"
    assert two.url.query.decode() == "anzahl=1&ab=1"


async def test_an_empty_list_is_an_empty_page(httpx_mock: HTTPXMock) -> None:
    """XML has no element at all where there is no record."""
    httpx_mock.add_response(content=b'<Liste Gesamt="0"/>')
    page = await system("rest_xml").search("invoice", Query())
    assert (page.items, page.next_cursor) == ((), None)


@pytest.mark.parametrize(
    ("code", "field", "error", "canonical"),
    [
        ("F013", "Positionen/2/Betrag", Rejected, "lines[].amount"),
        ("F110", "Kunde", Rejected, "customer_id"),
        ("F900", "", Unavailable, None),
    ],
)
async def test_errors_are_read_from_the_body(
    httpx_mock: HTTPXMock, code: str, field: str, error: type[Exception], canonical: str | None
) -> None:
    """The code decides first (a record that is locked is no refusal), then the status; the field is
    canonical."""
    body = f"<Fehler><Code>{code}</Code><Feld>{field}</Feld><Text>So nicht</Text></Fehler>"
    httpx_mock.add_response(status_code=422, content=body.encode())
    with pytest.raises(error) as caught:
        await system("rest_xml").create(write("invoice", {"currency": "EUR"}))
    assert type(caught.value) is error
    assert (caught.value.code, caught.value.message, caught.value.field) == (code, "So nicht", canonical)


HOSTILE = {
    "entities": b'<!DOCTYPE r [<!ENTITY a "x">]><Rechnung><BelegNr>&a;</BelegNr></Rechnung>',
    "external": b'<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><Rechnung><BelegNr>&a;</BelegNr></Rechnung>',
    "doctype": b"<!DOCTYPE r><Rechnung><BelegNr>1</BelegNr></Rechnung>",
    "cut": b"<Rechnung><BelegNr>1</BelegNr>",
    "deep": b"<a>" * 5000 + b"</a>" * 5000,
    "json": b"{}",
    "nothing": b"",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_xml_is_unreadable(httpx_mock: HTTPXMock, content: bytes) -> None:
    """No entity is expanded, nothing is fetched, no depth breaks us."""
    httpx_mock.add_response(content=content)
    with pytest.raises(Unreadable):
        await system("rest_xml").fetch("invoice", "1")


def test_xml_keeps_white_space_inside_text() -> None:
    """Line breaks in a note survive the round trip; namespaces, attributes and nil are understood."""
    made = xml_body.encode("R", {"T": "a\n b", "L": [{"x": "1"}, {"x": None}], "B": True})
    assert xml_body.decode(made) == ("R", {"T": "a\n b", "L": [{"x": "1"}, {"x": None}], "B": "true"})
    # A carriage return is text like any other, though a reader of XML would make a line feed of it.
    assert xml_body.decode(xml_body.encode("R", {"T": "a\r\nb\rc"})) == ("R", {"T": "a\r\nb\rc"})
    nil = (
        b'<n:R xmlns:n="urn:x" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        b'<n:T xsi:nil="true"/><n:A k="v">t</n:A></n:R>'
    )
    assert xml_body.decode(nil) == ("R", {"T": None, "A": {"@k": "v", "#text": "t"}})
    with pytest.raises(Broken):
        xml_body.decode(b"not xml")


async def test_json_create_and_conditional_update(httpx_mock: HTTPXMock) -> None:
    """Nested paths, an idempotency header that carries the marker, the ETag header as version and
    condition."""
    record = {"id": 5, "name": "Ulm AG", "code": "K-1", "address": {"city": "Ulm"}}
    httpx_mock.add_response(json=record, headers={"ETag": '"1"'}, is_reusable=True)
    adapter = system("rest_json")
    receipt = await adapter.create(write("customer", {"name": "Ulm AG", "billing_address": {"city": "Ulm"}}))
    assert (receipt.native_id, receipt.native_version) == ("5", '"1"')
    assert receipt.fields["billing_address"] == {"city": "Ulm", "country": None}
    await adapter.update(write("customer", {"billing_address": None}, native_id="5", native_version='"1"'))
    created, updated = httpx_mock.get_requests()
    assert json.loads(created.content) == {"name": "Ulm AG", "address": {"city": "Ulm", "country": None}}
    assert created.headers["Idempotency-Key"] == "op_0192f0aa"
    assert (updated.method, updated.url.path, updated.headers["If-Match"]) == ("PUT", "/customers/5", '"1"')
    assert json.loads(updated.content) == {"address": {"city": None, "country": None}}


async def test_json_pages_by_number(httpx_mock: HTTPXMock) -> None:
    """Without a total a full page is followed by another."""
    httpx_mock.add_response(
        url=f"{BASE}/customers?per_page=1&page=1", json={"data": {"items": [{"id": 1, "name": "a"}]}}
    )
    httpx_mock.add_response(url=f"{BASE}/customers?per_page=1&page=2", json={"data": {"items": []}})
    adapter = system("rest_json")
    first = await adapter.search("customer", Query(limit=1))
    second = await adapter.search("customer", Query(limit=1, cursor=first.next_cursor))
    assert (first.next_cursor, second.items, second.next_cursor) == ("2", (), None)
