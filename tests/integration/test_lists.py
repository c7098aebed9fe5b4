"""Lists of the running program: every filter, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.canonical import ENTITIES, Entity
from tests.integration.service import running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with running(tmp_path_factory.mktemp("lists"), scale="0.01") as service, service.client() as client:
        yield client


def every(client: httpx.Client, path: str, **asked: str) -> list[dict[str, Any]]:
    """All items of a list, page by page."""
    found: list[dict[str, Any]] = []
    params = {"limit": "30", **asked}
    while True:
        page = client.get(path, params=params)
        assert page.status_code == 200, page.text
        assert len(page.json()["items"]) <= int(params["limit"])
        found += page.json()["items"]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return found
        params["cursor"] = cursor


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
def test_filters_find_what_has_the_value_and_nothing_else(client: httpx.Client, entity: Entity) -> None:
    """Every filter of an entity gives exactly the records that have the value, each of them once."""
    path = f"/v1/{entity.collection}"
    records = every(client, path)
    assert records
    assert len({record["id"] for record in records}) == len(records)
    for name in (*entity.filters, "state", "legal_entity"):
        values = sorted({str(record[name]) for record in records if name in record})[:2]
        for text in values:
            wanted = {record["id"] for record in records if str(record.get(name)) == text}
            found = every(client, path, **{name: text.lower() if text in ("True", "False") else text})
            assert {record["id"] for record in found} == wanted, (name, text)


def test_list_without_region_is_the_sum_of_the_regions(client: httpx.Client) -> None:
    """Without region a list fans out, and no record is missing or comes twice."""
    regions = {rule["region"] for rule in client.get("/admin/v1/rules").json()["items"]}
    one_by_one = [
        record["id"]
        for region in regions
        for record in every(client, "/v1/customers", region=region, limit="2")
    ]
    together = [record["id"] for record in every(client, "/v1/customers", limit="2")]
    assert sorted(together) == sorted(one_by_one)
    assert len(set(together)) == len(together)
