"""Who is calling: what a key stands for, and what it may see."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.errors import Forbidden

#: What a key may be allowed: the business side and the operations side, each to look and to change; and to approve what
#: somebody else has asked for.
SCOPES: tuple[str, ...] = ("read", "write", "admin:read", "admin:write", "admin:approve")

#: What people do, as sets of scopes. An operator asks and an approver agrees; nobody agrees to what they asked for.
ROLES: Mapping[str, tuple[str, ...]] = {
    "viewer": ("admin:read", "read"),
    "operator": ("admin:read", "admin:write", "read"),
    "approver": ("admin:approve", "admin:read", "read"),
    "admin": ("admin:approve", "admin:read", "admin:write", "read", "write"),
}


def implied(scopes: frozenset[str], role: str | None) -> frozenset[str]:
    """What a key may do. Without a role, whoever may change things may also approve what another has asked for."""
    if role is None and "admin:write" in scopes:
        return scopes | {"admin:approve"}
    return scopes


#: Regions, or entities, that a caller may see; None: all of them.
Scope = frozenset[str] | None


def within(entity: str, region: str, entities: Scope, regions: Scope) -> bool:
    """Whether a caller who may see these may see this slice, and what is in it."""
    return (entities is None or entity in entities) and (regions is None or region in regions)


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who is calling. ``regions`` and ``entities`` of None mean all of them."""

    name: str
    key_id: str
    scopes: frozenset[str]
    regions: frozenset[str] | None = None
    entities: frozenset[str] | None = None

    def require(self, scope: str) -> None:
        """Raises Forbidden when the key does not carry ``scope``."""
        if scope not in self.scopes:
            raise Forbidden(f"this call needs the scope {scope!r}", needed=scope)

    def sees_region(self, region: str) -> bool:
        return self.regions is None or region in self.regions

    def sees_entity(self, entity: str) -> bool:
        return self.entities is None or entity in self.entities

    def sees(self, entity: str, region: str) -> bool:
        return within(entity, region, self.entities, self.regions)
