"""The differences page, one difference, and the table."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest
from litestar.testing import TestClient

from gateway.compare import DifferenceClass, FieldSummary, Sample
from tests.console.fakes import START, UK_ONLY, FakeGateway, a_diff, a_summary

Client = TestClient[Any]
SignIn = Callable[..., httpx.Response]


def findings(text: str) -> list[str]:
    """The ids of the findings on the page."""
    return re.findall(r'<article class="finding" aria-labelledby="(\w+)"', text)


def rows(answer: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text)))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("entity=customer", {"dif_01930002", "dif_01930004"}),
        ("entity=customer&verdict=explained", {"dif_01930004"}),
        ("entity=customer&noise=hidden", {"dif_01930002"}),
        ("entity=customer&verdict=explained&noise=hidden", {"dif_01930004"}),
        ("entity=customer&noise=nonsense", {"dif_01930002", "dif_01930004"}),
        ("region=UK", {"dif_01930005"}),
        ("field=manager_id", {"dif_01930003"}),
        ("verdict=nonsense&entity=project", {"dif_01930003"}),
        ("since=tomorrow&entity=project", {"dif_01930003"}),
        ("state=ended&entity=project", set()),
        ("record=cus_0193a7c2-1111-7d10-9f11-8a6b2c3d4e5f", {"dif_01930002"}),
    ],
)
def test_filters_narrow_the_findings(client: Client, sign_in: SignIn, query: str, found: set[str]) -> None:
    """The address carries the view; a filter that nobody knows is left out, and the page opens all the
    same."""
    sign_in()
    assert set(findings(client.get(f"/console/diffs?{query}").text)) == found


def test_noise_that_is_hidden_is_counted(client: Client, gateway: FakeGateway, sign_in: SignIn) -> None:
    """Without noise the fields show what nothing explains, a finding its open places alone, and the page says how much
    it leaves out; what is hidden is a click away."""
    explained = [sample for row in gateway.diffs.rows for sample in row.differences if sample.explained]
    (row,) = [row for row in gateway.diffs.rows if row.id == "dif_01930003"]
    mixed = msgspec.structs.replace(row, differences=(*row.differences, *explained), difference_count=3)
    gateway.diffs.rows = [mixed if one.id == row.id else one for one in gateway.diffs.rows]
    gateway.diffs.found = [
        a_summary(
            "project",
            "EMEA",
            (
                FieldSummary(
                    field=field, kind="value", verdict=verdict, count=count, share=0.0, money={}, example=None
                )
                for field, verdict, count in (("name", "mismatch", 2), ("legal_name", "explained", 7))
            ),
            mismatch=2,
            explained=7,
        )
    ]
    sign_in()
    shown, hidden = (client.get(f"/console/diffs?entity=project{more}").text for more in ("", "&noise=hidden"))
    assert ("legal_name" in shown, "legal_name" in hidden) == (True, False)
    assert ("manager_id" in shown, "manager_id" in hidden) == (True, True)
    assert "7 explained places are hidden" in hidden
    assert "1 more, in" in hidden
    assert 'href="/console/diffs?entity=project"' in hidden


def test_since_is_an_age_or_a_moment(client: Client, gateway: FakeGateway, sign_in: SignIn) -> None:
    """An age counts from now on the gateway's clock; a moment without a zone is UTC."""
    asked: list[int | None] = []
    summary = gateway.diffs.summary

    async def heard(**narrowed: Any) -> Any:
        asked.append(narrowed["since"])
        return await summary(**narrowed)

    gateway.diffs.summary = heard  # type: ignore[method-assign]
    sign_in()
    for query in ("", "?since=1h", "?since=2026-11-23T08:30:00", "?since=2026-11-23T08:30:00Z"):
        assert client.get("/console/diffs" + query).status_code == 200
    hour_ago = int((START - timedelta(hours=1)).timestamp() * 1_000_000)
    assert asked == [None, hour_ago, hour_ago, hour_ago]


def test_older_findings_follow(client: Client, gateway: FakeGateway, sign_in: SignIn) -> None:
    """Pages go on where the last one ended, each finding once, and keep the filters."""
    sign_in()
    seen: list[str] = []
    address: str | None = "/console/diffs?entity=invoice"
    while address:
        text = client.get(address).text
        seen += findings(text)
        older = re.search(r'href="([^"]*after=[^"]*)"', text)
        address = older[1].replace("&amp;", "&") if older else None
        assert address is None or "entity=invoice" in address
    assert seen == [row.id for row in gateway.diffs.rows if row.entity == "invoice"]


def test_a_key_of_one_region_gets_its_findings_only(client: Client, sign_in: SignIn) -> None:
    """Lists, single pages and the table hold nothing from outside the key's regions."""
    sign_in(UK_ONLY)
    text = client.get("/console/diffs").text
    assert findings(text) == ["dif_01930005"]
    assert "manager_id" not in text
    assert client.get("/console/diffs/dif_01930001").status_code == 404
    assert {row["region"] for row in rows(client.get("/console/diffs.csv"))} == {"UK"}


def test_a_finding_leads_to_its_record(client: Client, sign_in: SignIn) -> None:
    """One page holds both sides, what is at stake, and the way to the record's journey."""
    sign_in()
    text = client.get("/console/diffs/dif_01930001").text
    assert "/console/records/inv_0193a7c2-0001" in text
    assert "9999999999.9<mark" in text
    assert "0.01 EUR" in text
    assert "custom_fields" in text


def test_personal_values_are_shown_as_fingerprints(client: Client, sign_in: SignIn) -> None:
    """What was stored as a hash is named as such, with a word for those who do not see the dots."""
    sign_in()
    text = client.get("/console/diffs/dif_01930002").text
    assert "hmac:" not in text
    assert "personal value, fingerprint" in text


@pytest.mark.parametrize(
    ("keeps_mirror", "said"),
    [(True, "is compared within seconds"), (False, "Move one to <em>dual write</em>")],
)
def test_an_empty_page_says_the_next_step(
    client: Client, gateway: FakeGateway, sign_in: SignIn, keeps_mirror: bool, said: str
) -> None:
    """Nothing compared yet is told with what would change that."""
    gateway.diffs.rows, gateway.diffs.found = [], []
    if not keeps_mirror:
        gateway.slices.known = {
            key: one for key, one in gateway.slices.known.items() if one.stage == "legacy_only"
        }
    sign_in()
    assert said in client.get("/console/diffs").text


def test_agreement_is_told_from_silence(client: Client, gateway: FakeGateway, sign_in: SignIn) -> None:
    """No open finding after many comparisons reads as agreement, and says where the ended ones are."""
    gateway.diffs.rows, gateway.diffs.found = [], [a_summary("invoice", "EMEA", match=10)]
    sign_in()
    text = client.get("/console/diffs").text
    assert "Every comparison of this view agrees now." in text
    assert "/console/diffs?state=all" in text


def test_the_table_has_a_row_for_each_field(client: Client, sign_in: SignIn) -> None:
    """The CSV follows the filters and holds values, classes and money as they are."""
    sign_in()
    answer = client.get("/console/diffs.csv?entity=customer&region=AMER")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert 'filename="differences-20261123-093000.csv"' in answer.headers["content-disposition"]
    found = rows(answer)
    assert [row["path"] for row in found] == ["name", "email", "billing_address.city", "tax_id"]
    assert found[3]["authority_value"] == "NO998877665MVA"
    assert found[3]["other_value"] == ""


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@cmd", "'@cmd"),
        ("+SUM(A1)", "'+SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("-12.50", "-12.50"),
        ("+47", "+47"),
        ("a,\"b\"\n=c", "a,\"b\"\n=c"),
    ],
)  # fmt: skip
def test_no_cell_runs_as_a_formula(
    client: Client, gateway: FakeGateway, sign_in: SignIn, value: str, cell: str
) -> None:
    """A text from an ERP stays a text in a spreadsheet, and a negative number stays a number."""
    sample = Sample(path="name", field="name", kind=DifferenceClass.VALUE, authority=value, other="x")
    gateway.diffs.rows = [a_diff(1, differences=(sample,), difference_count=1)]
    sign_in()
    assert rows(client.get("/console/diffs.csv"))[0]["authority_value"] == cell


def test_a_record_shows_its_way_through_both_systems(client: Client, sign_in: SignIn) -> None:
    """Native ids, each event with its system, each delivery, and the differences are on one page."""
    sign_in()
    text = client.get("/console/records/inv_1").text
    for said in ("RE-2026-004711", "90001234", "503 Service Unavailable", "/console/diffs/dif_01930001"):
        assert said in text
    assert text.count('class="is-cloud"') == 2


def test_a_record_is_found_by_its_id(client: Client, sign_in: SignIn) -> None:
    """The field on top leads to the record; nothing typed leads home; an unknown id ends on a page that
    says so."""
    sign_in()
    found = client.get("/console/records?id=%20inv_1%20")
    assert found.headers["location"] == "/console/records/inv_1"
    assert client.get("/console/records?id=").headers["location"] == "/console"
    assert client.get("/console/records/cus_unknown").status_code == 404


def test_a_record_outside_the_regions_is_not_there(client: Client, sign_in: SignIn) -> None:
    """A foreign region's record answers as one that does not exist."""
    sign_in(UK_ONLY)
    assert client.get("/console/records/inv_1").status_code == 404


def test_an_entity_bound_key_gets_full_pages(client: Client, gateway: FakeGateway, sign_in: SignIn) -> None:
    """A key that is bound to entities sees all findings of these, however many others lie between."""
    key, row = next(iter(gateway.keys.rows.items()))
    gateway.keys.rows[key] = msgspec.structs.replace(row, entities=("customer",))
    sign_in(key)
    assert findings(client.get("/console/diffs").text) == ["dif_01930004", "dif_01930002"]
