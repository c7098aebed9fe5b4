"""Puts a system together from its profile and its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from adapters.contract import Adapter
from adapters.door import Door
from adapters.errors import Misconfigured
from adapters.installation import Installation
from adapters.profile import Profile
from adapters.protocols.jsonrpc import JsonRpcWire
from adapters.protocols.odata import OdataWire
from adapters.protocols.rest import RestWire
from adapters.system import System
from adapters.transport import CARRIERS, Carrier, carrier
from adapters.wire import Wire

#: protocol of a profile -> what speaks it
PROTOCOLS: dict[str, Callable[[Profile, str, Mapping[str, Any]], Wire]] = {
    "odata": OdataWire,
    "jsonrpc": JsonRpcWire,
    "rest": RestWire,
}


def open_adapter(
    name: str,
    profile: Profile,
    base_url: str,
    auth: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    transport: str | Carrier = "aiohttp",
    door: Door | None = None,
) -> Adapter:
    """``name`` is the system (``legacy`` or ``cloud``); ``auth`` and ``options`` are its settings; ``door`` is
    what its requests go through (None: one that keeps the profile's limits). Opens nothing: the first call does."""
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise Misconfigured(f"{base_url!r} is not the base address of a system", system=name)
    if isinstance(transport, str):
        if transport not in CARRIERS:
            raise Misconfigured(
                f"there is no transport {transport!r}; there are: {', '.join(CARRIERS)}", system=name
            )
        transport = carrier(transport, profile.limits)
    installation = Installation(name, profile, options or {})
    profile = installation.profile
    wire = PROTOCOLS[profile.protocol](profile, base_url, options or {})
    return System(
        name=name,
        profile=profile,
        wire=wire,
        carrier=transport,
        auth=auth or {},
        installation=installation,
        door=door,
    )
