"""The vendored files, and how files are served."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar.testing import TestClient

from gateway.console import assets

Client = TestClient[Any]

VENDOR = assets.STATIC / "vendor"
LOCK: list[dict[str, Any]] = json.loads((VENDOR / "vendor.lock").read_text(encoding="utf-8"))


@pytest.mark.parametrize("package", LOCK, ids=[package["folder"] for package in LOCK])
def test_vendored_files_are_the_published_ones(package: dict[str, Any]) -> None:
    """Each file has the hash of the lock, a licence lies beside it, and the lock names the tarball it came
    from."""
    folder = VENDOR / package["folder"]
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert found == package["files"]
    assert "LICENSE" in found
    assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", package["integrity"])
    assert package["version"] in package["folder"]


def test_nothing_is_vendored_past_the_lock() -> None:
    """No file lies there that the lock does not name."""
    named = {f"{package['folder']}/{name}" for package in LOCK for name in package["files"]}
    there = {path.relative_to(VENDOR).as_posix() for path in VENDOR.rglob("*") if path.is_file()}
    assert there == named | {"vendor.lock"}


def test_a_file_is_kept_for_good_under_its_own_hash(
    client: Client, sign_in: Callable[..., httpx.Response]
) -> None:
    """Every file that pages name is there, compressed, and immutable at the address that holds its hash."""
    pages = client.get("/console/login").text + client.get("/docs").text
    sign_in()
    pages += client.get("/console").text
    addresses = set(re.findall(r'(?:src|href)="(/(?:console|docs)/static/[^"#]+)', pages))
    assert len(addresses) >= 8
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
        again = client.get(address, headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304
        assert again.content == b""


def test_an_old_address_is_asked_for_again(client: Client) -> None:
    """Without the hash, or with an old one, a file is served and never kept."""
    for address in ("/console/static/base.css", "/console/static/base.css?v=old"):
        assert client.get(address).headers["cache-control"] == "no-cache"


def test_large_files_travel_compressed(client: Client) -> None:
    """A browser that takes gzip gets it, and the content is the same."""
    address = "/docs/static/vendor/scalar-api-reference-1.46.4/standalone.js"
    with client.stream("GET", address, headers={"accept-encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    plain = client.get(address, headers={"accept-encoding": "identity"})
    assert len(raw) < len(plain.content) / 2
    assert gzip.decompress(raw) == plain.content


@pytest.mark.parametrize(
    "path",
    ["none.css", "../router.py", "..%2frouter.py", "vendor/vendor.lock", "vendor/htmx.org-4.0.1/LICENSE", ""],
)
def test_only_what_pages_load_is_served(client: Client, path: str) -> None:
    """Nothing outside the folder, and nothing in it that no page loads."""
    assert client.get(f"/console/static/{path}").status_code in (303, 404)


def test_a_page_cannot_ship_a_dead_link(tmp_path: Path) -> None:
    """A template that names a file that is not there fails when it is rendered, not in the browser."""
    with pytest.raises(KeyError):
        assets.Assets(tmp_path).url("none.css", prefix="/console/static")
