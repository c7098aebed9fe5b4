"""The guards of slices over HTTP."""

from __future__ import annotations

from typing import Any

from litestar.testing import TestClient

Client = TestClient[Any]


def test_what_the_guards_have_seen(client: Client) -> None:
    """Each guarded slice with its rule and its last window; a key of one region sees its own."""
    items = client.get("/admin/v1/guards").json()["items"]
    assert [(one["region"], one["failing"], one["windows"], one["verdict"]) for one in items] == [
        ("UK", 2, 3, "fail"),
        ("EMEA", 2, 3, "fail"),
    ]
    assert items[0]["looked_at"] == "2025-12-29T09:20:00.000000Z"
    assert items[0]["held_until"] is None
    mine = client.get("/admin/v1/guards", headers={"Authorization": "Bearer uk"}).json()["items"]
    assert [one["region"] for one in mine] == ["UK"]
    assert client.get("/admin/v1/guards?state=fail").status_code == 400
