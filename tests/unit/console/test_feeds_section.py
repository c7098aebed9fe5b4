"""The feeds on the flow page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
from litestar.testing import TestClient

Client = TestClient[Any]


def test_the_flow_page_shows_feeds_that_work_or_ought_to(
    client: Client, sign_in: Callable[..., httpx.Response]
) -> None:
    """With their state and reason, hostile text escaped; one that is switched off is left out."""
    sign_in()
    page = client.get("/console/flow").text
    assert 'id="feed-legacy-customer-UK"' in page
    assert 'id="feed-cloud-customer-UK"' in page
    assert "&lt;b&gt;no answer&lt;/b&gt;" in page
    assert "<b>no answer" not in page
    assert 'id="feed-cloud-customer-EMEA"' not in page


def test_without_feeds_the_page_has_no_such_section(
    client: Client, sign_in: Callable[..., httpx.Response], gateway: Any
) -> None:
    """Nothing is shown of what is not there."""
    gateway.follower.feeds = []
    sign_in()
    assert "feeds-head" not in client.get("/console/flow").text
