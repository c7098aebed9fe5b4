"""Readiness over HTTP, over stand-ins: one set of figures in five forms."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import Any

import pytest
from litestar.testing import TestClient
from lxml import etree

from gateway.readiness import Outcome
from gateway.readiness.sheet import XLSX
from tests.unit.http.fake_readiness import report
from tests.unit.http.fakes import World

Client = TestClient[Any]
BASE = "/admin/v1/readiness"
OOXML = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def test_the_worst_slice_decides(world: World, client: Client) -> None:
    """Fail if one fails, inconclusive if one is or if there is none, pass if all do."""
    for verdicts, whole in (
        ((Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE), "fail"),
        ((Outcome.PASS, Outcome.INCONCLUSIVE), "inconclusive"),
        ((Outcome.PASS, Outcome.PASS), "pass"),
        ((), "inconclusive"),
    ):
        world.readiness.reports = [report(verdict=verdict) for verdict in verdicts]
        assert client.get(BASE).json()["verdict"] == whole


def test_one_slice_in_five_forms(client: Client) -> None:
    """JSON where nothing else is asked for; CSV, a workbook, a page and a PDF carry the same figures; text of others is
    text, and no formula."""
    path = f"{BASE}/customer/UK"
    told = client.get(path)
    assert told.headers["content-type"] == "application/json"
    assert [gate["name"] for gate in told.json()["gates"]] == ["compares", "money"]
    rows = list(csv.DictReader(client.get(path, headers={"Accept": "text/csv"}).text.splitlines()))
    assert [(row["gate"], row["gate_verdict"], row["measure"]) for row in rows] == [
        ("compares", "pass", "1,204"), ("money", "fail", "'=1+1"),
    ]  # fmt: skip
    page = client.get(path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "&lt;b&gt;1080.00&lt;/b&gt; GBP" in page.text
    assert "script" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    printed = client.get(path, headers={"Accept": "application/pdf"})
    assert printed.content.startswith(b"%PDF-")
    assert "readiness.pdf" in printed.headers["content-disposition"]
    book = client.get(path, headers={"Accept": XLSX})
    assert "readiness.xlsx" in book.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(book.content)) as parts:
        grid = etree.fromstring(parts.read("xl/worksheets/sheet1.xml"))
        texts = ["".join(one.itertext()) for one in etree.fromstring(parts.read("xl/sharedStrings.xml"))]
    assert grid.findall(f".//{OOXML}f") == []
    cells = {
        one.attrib["r"]: texts[int(value)] if one.get("t") == "s" else value
        for one in grid.iter(f"{OOXML}c")
        if (value := one.findtext(f"{OOXML}v")) is not None
    }
    heads = {cells[name]: name.rstrip("1") for name in cells if name.rstrip("1").isalpha()}
    assert [
        tuple(cells[f"{heads[name]}{n}"] for name in ("gate", "gate_verdict", "measure")) for n in (2, 3)
    ] == [("compares", "pass", "1,204"), ("money", "fail", "=1+1")]
    assert cells[f"{heads['sample']}2"] == rows[0]["sample"]


@pytest.mark.parametrize("accept", ["image/png", "text/plain;q=0.5, image/*"])
def test_what_it_is_not_given_as(client: Client, accept: str) -> None:
    """Another kind of media is 406, and says which there are."""
    answer = client.get(BASE, headers={"Accept": accept})
    assert answer.status_code == 406, answer.text
    assert "text/csv" in answer.json()["detail"]


def test_narrowed_to_what_the_key_may_see(world: World, client: Client) -> None:
    """Entity and region go inwards with the reach of the key; a slice that is not there is 404."""
    assert (
        client.get(f"{BASE}?entity=customer&region=UK", headers={"Authorization": "Bearer uk"}).status_code
        == 200
    )
    assert world.readiness.asked[-1] == {
        "entity": "customer", "region": "UK", "regions": frozenset({"UK"}), "entities": None,
    }  # fmt: skip
    assert client.get(f"{BASE}?entity=planet").status_code == 400
    assert client.get(f"{BASE}/invoice/UK").status_code == 404


def test_signed_by_whoever_looked_at_it(world: World, client: Client) -> None:
    """The hash of the report is signed under the key's own name, and stands in every form; another hash is refused with
    the right one; who may not approve may not sign."""
    path = f"{BASE}/customer/UK"
    assert "not signed" in client.get(path, headers={"Accept": "text/html"}).text
    other = client.post(f"{path}/sign", json={"evidence_hash": "b" * 64})
    assert (other.status_code, other.json()["evidence_hash"]) == (409, "a" * 64)
    assert client.post(f"{path}/sign", json={"evidence_hash": "a"}).status_code == 400
    reader = {"Authorization": "Bearer reader"}
    assert client.post(f"{path}/sign", json={"evidence_hash": "a" * 64}, headers=reader).status_code == 403
    signed = client.post(f"{path}/sign", json={"evidence_hash": "a" * 64})
    assert signed.status_code == 200, signed.text
    (signature,) = signed.json()["signatures"]
    words = f"signed by {signature['signed_by']} at {signature['signed_at']}"
    assert words in client.get(path, headers={"Accept": "text/html"}).text
    assert words in client.get(path, headers={"Accept": "text/csv"}).text
