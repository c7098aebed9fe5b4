"""``twinrun keys``: who may call."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gateway.access.caller import ROLES, SCOPES
from gateway.access.keys import KeyRow
from gateway.app import Gateway
from gateway.canonical import BY_NAME
from gateway.cli.screen import Json, out, put_json, put_table, say
from gateway.cli.session import actor, with_gateway
from gateway.errors import Malformed

Listed = Annotated[list[str] | None, Parameter(consume_multiple=False, negative="")]


def create(
    name: str,
    /,
    *,
    scopes: Listed = None,
    role: str | None = None,
    regions: Listed = None,
    entities: Listed = None,
    json: Json = False,
) -> None:
    """Make a key; it is shown once.

    Parameters
    ----------
    name:
        Who will use it, as audit and history show it.
    scopes:
        read, write, admin:read, admin:write, admin:approve; by commas or repeated. Default: read and write.
    role:
        viewer, operator, approver or admin, instead of scopes. An operator asks for a switch of authority, an
        approver agrees. A key with the scope admin:write may do both, though never agree to what it asked for.
    regions:
        Only these regions. Default: all.
    entities:
        Only these entities. Default: all.
    """
    wanted = _split(scopes) or (None if role else ("read", "write"))
    only_entities = _split(entities)

    async def work(gateway: Gateway) -> tuple[str, KeyRow]:
        only_regions = _split(regions)
        known = gateway.slices.regions()
        _known("--regions", only_regions, known)
        return await gateway.keys.create(
            name, scopes=wanted, role=role, regions=only_regions, entities=only_entities, actor=actor()
        )

    _known("--scopes", wanted, SCOPES)
    _known("--role", None if role is None else (role,), tuple(ROLES))
    _known("--entities", only_entities, tuple(BY_NAME))
    secret, row = with_gateway(work)
    if json:
        put_json({"key": secret, **_shown(row)})
        return
    out().print(secret, markup=False, soft_wrap=True)
    say(f"{row.id} for {row.name!r} with {', '.join(row.scopes)}. It is shown this once; keep it.")


def list_(*, json: Json = False) -> None:
    """Every key, without its secret, the newest first."""
    rows = with_gateway(lambda gateway: gateway.keys.list())
    if json:
        put_json({"items": [_shown(row) for row in rows], "next_cursor": None})
        return
    if not rows:
        say("There is no API key yet: twinrun keys create NAME --scopes read,write")
        return
    put_table(
        ("id", "name", "prefix", "role", "scopes", "regions", "entities", "created", "last used", "revoked"),
        [
            (
                row.id, row.name, row.prefix, row.role, ", ".join(row.scopes), _all(row.regions), _all(row.entities),
                row.created_at[:19], row.last_used_at and row.last_used_at[:19],
                row.revoked_at and row.revoked_at[:19],
            )
            for row in rows
        ],
    )  # fmt: skip


def revoke(key_id: str, /, *, json: Json = False) -> None:
    """End a key. It stops working within a second, on every replica.

    Parameters
    ----------
    key_id:
        Its id, as `twinrun keys list` shows it.
    """
    with_gateway(lambda gateway: gateway.keys.revoke(key_id, actor()))
    if json:
        put_json({"id": key_id, "revoked": True})
    else:
        say(f"{key_id} is revoked")


def _shown(row: KeyRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


def _split(values: list[str] | None) -> tuple[str, ...] | None:
    if not values:
        return None
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def _known(option: str, values: tuple[str, ...] | None, allowed: tuple[str, ...]) -> None:
    unknown = [value for value in values or () if value not in allowed]
    if unknown:
        raise Malformed(f"{option} {', '.join(unknown)}; allowed are {', '.join(allowed)}")


def _all(values: tuple[str, ...] | None) -> str:
    return "all" if values is None else ", ".join(values)
