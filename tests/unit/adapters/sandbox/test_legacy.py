"""The legacy wire: what goes in, what comes out, what is lost."""

from __future__ import annotations

import re

import pytest
from lxml import etree

from tests.unit.adapters.sandbox.dialects import Legacy, first_key


async def test_a_customer_reads_back_as_written(legacy: Legacy) -> None:
    """Every scalar survives in the manner of the house: dotted days, decimal comma, one-letter codes."""
    fields = {
        "Nummer": "CU-9",
        "Buchungskreis": "CH01",
        "Status": "A",
        "Name1": "Ostvane &amp; Söhne",
        "Land": "CH",
        "Zahlungsziel": "30",
        "Kreditlimit": "1234,5",
        "KreditlimitWhg": "CHF",
        "Sprache": "de-CH",
    }
    reply = await legacy.create("customer", fields, marker="op_1")
    record = legacy.record(reply)
    assert reply.status_code == 201
    assert reply.headers["location"] == f"/erp/Kunden/{record['KundenNr']}"
    assert re.fullmatch(r"\d{2}\.\d{2}\.\d{4} \d{2}:\d{2}:\d{2}", record["Aenderung"])
    expected = {
        **fields,
        "Name1": "Ostvane & Söhne",
        "Kreditlimit": "1234,50",
        "Sprache": "de",
        "Referenz": "op_1",
    }
    assert {name: record[name] for name in expected} == expected
    assert (await legacy.fetch("customer", record["KundenNr"])).content == reply.content


async def test_an_invoice_with_lines_reads_back_as_written(legacy: Legacy) -> None:
    """Lists keep their order; the document number comes from the range of the company code."""
    customer = first_key(legacy, "customer")
    line = (
        "<Position><PosNr>{n}</PosNr><Text>Work</Text><Art>Z</Art><Menge>1,3333</Menge><Einzelpreis>75,00</Einzelpreis>"
        "<Betrag>100,00</Betrag><Steuerkz>N</Steuerkz><Steuerbetrag>19,00</Steuerbetrag>"
        "<Quellen><Quelle>tim_{n}</Quelle><Quelle>tim_x</Quelle></Quellen></Position>"
    )
    fields = {
        "Buchungskreis": "DE01",
        "Kunde": customer,
        "Waehrung": "EUR",
        "Rechnungsdatum": "29.02.2028",
        "Netto": "200,00",
        "Steuer": "38,00",
        "Brutto": "238,00",
        "Positionen": line.format(n=1) + line.format(n=2),
    }
    reply = await legacy.create("invoice", fields)
    root = etree.fromstring(reply.content)
    assert reply.status_code == 201
    assert (root.findtext("BelegNr") or "").startswith("902000")
    assert [p.findtext("PosNr") for p in root.iterfind("Positionen/Position")] == ["1", "2"]
    assert [q.text for q in root.iterfind("Positionen/Position/Quellen/Quelle")] == [
        "tim_1",
        "tim_x",
        "tim_2",
        "tim_x",
    ]
    assert root.findtext("Positionen/Position/Menge") == "1,333"
    assert root.findtext("Rechnungsdatum") == "29.02.2028"


async def test_losses_are_silent(legacy: Legacy) -> None:
    """Names end at 35 characters, notes at 60, references at 40; hours are rounded half up to 2 decimals."""
    customer = legacy.record(await legacy.create("customer", {"Name1": "N" * 50}, marker="m" * 50))
    assert (len(customer["Name1"]), len(customer["Referenz"])) == (35, 40)
    entry = await legacy.create("time_entry", _entry(legacy) | {"Stunden": "1,005", "Notiz": "x" * 90})
    record = legacy.record(entry)
    assert (record["Stunden"], len(record["Notiz"])) == ("1,01", 60)


async def test_cents_are_never_lost(legacy: Legacy) -> None:
    """Large amounts keep every cent, three decimals stay, and more are refused instead of rounded."""
    for amount in ("9999999999,99", "0,01", "-12,30", "1,234"):
        record = legacy.record(await legacy.create("time_entry", _entry(legacy) | {"Satz": amount}))
        assert record["Satz"] == amount
    refused = await legacy.create("time_entry", _entry(legacy) | {"Satz": "1,2345"})
    assert legacy.problem(refused) == (422, "F011", "Satz")


async def test_put_sets_clears_and_keeps(legacy: Legacy) -> None:
    """What is given is set, an empty element clears, what is missing stays, a list is replaced."""
    key = first_key(legacy, "project")
    before = legacy.record(await legacy.fetch("project", key))
    reply = await legacy.update("project", key, {"Bereich": "", "Kostenstelle": "CC1", "Aufgaben": ""})
    after = etree.fromstring(reply.content)
    assert after.findtext("Bereich") is None
    assert after.findtext("Kostenstelle") == "CC1"
    assert after.findtext("Bezeichnung") == before["Bezeichnung"]
    assert len(after.find("Aufgaben")) == 0  # pyright: ignore[reportArgumentType]


async def test_the_same_post_twice_is_two_records(legacy: Legacy) -> None:
    """There is no idempotency; both are found by the marker, which nothing keeps unique."""
    first, second = [await legacy.create("customer", {"Name1": "Twin"}, marker="op_same") for _ in range(2)]
    keys = [legacy.record(reply)["KundenNr"] for reply in (first, second)]
    assert keys[0] != keys[1]
    assert await legacy.keys("customer", "Referenz", "op_same") == keys


async def test_an_update_without_reference_keeps_the_marker(legacy: Legacy) -> None:
    """The reference field holds the marker of the last write that carried one."""
    key = legacy.record(await legacy.create("customer", {"Name1": "A"}, marker="op_1"))["KundenNr"]
    await legacy.update("customer", key, {"Name1": "B"})
    assert legacy.record(await legacy.fetch("customer", key))["Referenz"] == "op_1"
    await legacy.update("customer", key, {"Name1": "C"}, marker="op_2")
    assert await legacy.keys("customer", "Referenz", "op_1") == []
    assert await legacy.keys("customer", "Referenz", "op_2") == [key]


async def test_paging_covers_all_once(legacy: Legacy) -> None:
    """Pages by offset: each record once, the total on every page, the last page short."""
    seen: list[str] = []
    while True:
        reply = await legacy.http.get("/erp/Zeiten", params={"anzahl": 150, "ab": len(seen)})
        page = etree.fromstring(reply.content)
        assert page.get("Gesamt") == "400"
        seen += [record[0].text or "" for record in page]
        if len(seen) >= 400:
            break
    assert len(set(seen)) == 400


async def test_filters_combine(legacy: Legacy) -> None:
    """Different elements narrow, the same element repeated widens."""
    query = [("Status", "A"), ("Status", "G"), ("Buchungskreis", "DE01"), ("anzahl", "200")]
    page = etree.fromstring((await legacy.http.get("/erp/Kunden", params=query)).content)
    rows = legacy.simulator.shelves["customer"].rows.values()
    expected = [r.key for r in rows if r.values["Status"] in "AG" and r.values["Buchungskreis"] == "DE01"]
    assert expected
    assert [record[0].text for record in page] == expected


async def test_changed_since_is_inclusive_and_in_order(legacy: Legacy) -> None:
    """A change feed reads with >=, so the second of the cursor is answered again."""
    keys = [first_key(legacy, "customer"), first_key(legacy, "customer", 1)]
    for key in keys:
        stamp = legacy.record(await legacy.update("customer", key, {"Telefon": "1"}))["Aenderung"]
    reply = await legacy.http.get("/erp/Kunden", params={"geaendert_ab": stamp})
    assert [r[0].text for r in etree.fromstring(reply.content)][-1] == keys[1]
    everything = await legacy.http.get(
        "/erp/Kunden", params={"geaendert_ab": "01.01.2020 00:00:00", "anzahl": 200}
    )
    assert [r[0].text for r in etree.fromstring(everything.content)][-2:] == keys


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"<Kunde><Name1>x</Kunde>", "F001", id="not well-formed"),
        pytest.param(b"<Projekt/>", "F001", id="another element"),
        pytest.param(
            b'<!DOCTYPE k [<!ENTITY e "x">]><Kunde><Name1>&e;</Name1></Kunde>', "F001", id="document type"
        ),
        pytest.param(b"", "F001", id="empty"),
    ],
)
async def test_a_body_that_cannot_be_read_is_400(legacy: Legacy, body: bytes, code: str) -> None:
    """What is not the expected XML is refused before anything is done."""
    assert legacy.problem(await legacy.http.post("/erp/Kunden", content=body))[:2] == (400, code)
    assert await legacy.effects() == []


async def test_unknown_elements_are_dropped_without_a_word(legacy: Legacy) -> None:
    """Such systems exist; a write is proved only by reading it back."""
    reply = await legacy.create("customer", {"Name1": "A", "Name3": "lost", "KundenNr": "5"})
    assert reply.status_code == 201
    assert "Name3" not in legacy.record(reply)
    assert legacy.record(reply)["KundenNr"] != "5"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/erp/Kunden/1", 404),
        ("GET", "/erp/Nichts", 404),
        ("GET", "/elsewhere", 404),
        ("PATCH", "/erp/Kunden/100001", 405),
        ("GET", "/erp/Kunden?Farbe=rot", 400),
        ("GET", "/erp/Kunden?anzahl=999", 400),
        ("GET", "/erp/Kunden?geaendert_ab=2026-01-01", 400),
        ("GET", "/erp/Status", 200),
    ],
)
async def test_addresses(legacy: Legacy, method: str, path: str, status: int) -> None:
    """Unknown addresses are 404, verbs 405, parameters 400, each with an XML body."""
    reply = await legacy.http.request(method, path)
    assert reply.status_code == status
    assert etree.fromstring(reply.content).tag in ("Fehler", "Status")


def _entry(legacy: Legacy) -> dict[str, str]:
    return {
        "Person": first_key(legacy, "resource"),
        "Projekt": first_key(legacy, "project"),
        "Datum": "01.02.2026",
        "Stunden": "1,5",
        "Abrechenbar": "J",
        "Waehrung": "EUR",
    }
