"""The bare proxy: takes a read, fetches it from the on-premise ERP over the same carrier, decodes XML, encodes JSON.

No keys, no rules, no crosswalk, no canonical model, no ETag: what a routed read costs at the very least.
``python -m tests.benchmarks.peers.proxy LEGACY_URL``
"""

from __future__ import annotations

import sys
from typing import Any

from litestar import Litestar, get
from litestar.exceptions import NotFoundException

from adapters.profile import Limits
from adapters.protocols import xml_body
from adapters.transport import Request, carrier
from tests.benchmarks.peers.listening import serve


def build(legacy: str) -> Litestar:
    calls = carrier("aiohttp", Limits(concurrency=64))

    @get("/v1/customers/{native_id:str}")
    async def customer(native_id: str) -> dict[str, Any]:
        reply = await calls.send(
            Request(
                method="GET", url=f"{legacy}/erp/Kunden/{native_id}", headers={"Accept": "application/xml"}
            )
        )
        if reply.status != 200:
            raise NotFoundException
        _, record = xml_body.decode(reply.content)
        return record

    return Litestar([customer], openapi_config=None, logging_config=None)


if __name__ == "__main__":
    serve(build(sys.argv[1]))
