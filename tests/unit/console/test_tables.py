"""What a page shows in a table can be printed, and taken along as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from litestar.testing import TestClient

from tests.console.fakes import FakeGateway

Client = TestClient[Any]
SignIn = Callable[..., httpx.Response]
#: page -> columns that its CSV has, and that hold something
PAGES = {
    "/console/diffs": ("diff", "record"),
    "/console/waivers": (),
    "/console/readiness": ("entity", "region"),
    "/console/readiness/project/UK": ("entity", "region"),
    "/console/reconciliations": ("reconciliation", "entity", "region", "state", "created_at"),
    "/console/reconciliations/rcn_1": ("measure",),
    "/console/reconciliations/rcn_1/records": ("record",),
    "/console/switches": ("switch", "state"),
    "/console/switches/swi_01930004": ("part", "name", "found"),
    "/console/scheduled": ("change", "state", "effective_at"),
    "/console/backfills": (),
}


@pytest.mark.parametrize(("address", "columns"), PAGES.items())
def test_a_page_with_a_table_can_be_printed_and_taken_along(
    client: Client, sign_in: SignIn, gateway: FakeGateway, address: str, columns: tuple[str, ...]
) -> None:
    """Each page for the migration team that lists something has a button to print it, and a link to a CSV with a line
    for what is on the page; nobody gets it without a session."""
    signed = sign_in()
    assert signed.status_code == 303
    text = client.get(address).text
    assert "<table" in text or "finding" in text
    assert "data-print" in text
    (link, *_) = re.findall(r'href="(/console/[^"]+\.csv[^"]*)"', text)
    answer = client.get(link.replace("&amp;", "&"))
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    for name in columns:
        assert [row for row in rows if row[name]], f"{name} is empty in {answer.text[:300]}"
    client.cookies.clear()
    assert client.get(link.replace("&amp;", "&")).status_code == 303
