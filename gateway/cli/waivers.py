"""``twinrun waivers``: differences that a person accepts for a time."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gateway.app import Gateway
from gateway.canonical import BY_NAME
from gateway.cli.given import micros, one_of
from gateway.cli.screen import Json, put_json, put_table, say
from gateway.cli.session import actor, with_gateway
from gateway.compare.waiver import KINDS, Standing, Wish
from gateway.console.words import money
from gateway.database import from_micros
from gateway.errors import Malformed
from gateway.http.admin.waivers import STATES, told

MOST = 1_000

Class = Annotated[str, Parameter(name="--class")]


def list_(
    *,
    entity: str | None = None,
    region: str | None = None,
    state: str = "active",
    limit: int = 50,
    json: Json = False,
) -> None:
    """Waivers with what each of them covers now, the newest first.

    Parameters
    ----------
    entity:
        Only of this entity.
    region:
        Only in this region.
    state:
        active, expired, revoked or all.
    limit:
        How many are listed.
    """
    one_of("--entity", entity, tuple(BY_NAME))
    one_of("--state", state, (*STATES, "all"))
    if not 1 <= limit <= MOST:
        raise Malformed(f"--limit {limit}; allowed is 1 to {MOST}")

    async def work(gateway: Gateway) -> list[Standing]:
        one_of("--region", region, gateway.slices.places())
        wanted = None if state == "all" else state
        return list(await gateway.waivers.page(entity=entity, region=region, state=wanted, limit=limit))

    found = with_gateway(work)
    if json:
        put_json({"items": [told(one) for one in found], "next_cursor": None})
    elif found:
        _print(found)
    else:
        say("No waiver fits.")


def add(
    *,
    entity: str,
    region: str,
    field: str,
    class_: Class,
    reason: str,
    owner: str,
    until: str,
    json: Json = False,
) -> None:
    """Accept differences of one field and class of a slice until a day. They are explained from then on, never equal.

    Parameters
    ----------
    entity:
        The entity.
    region:
        The region.
    field:
        The field as `twinrun diffs` names it, such as lines[].amount; "" is the record as a whole.
    class_:
        In which way it differs, such as rounding.
    reason:
        Why this may be so.
    owner:
        Who answers for it.
    until:
        When it is a mismatch again: a day or a moment, at most 366 days ahead.
    """
    one_of("--entity", entity, tuple(BY_NAME))
    one_of("--class", class_, KINDS)
    expires_at = micros("--until", until) or 0

    async def work(gateway: Gateway) -> Standing:
        one_of("--region", region, gateway.slices.places())
        wish = Wish(
            entity=entity,
            region=region,
            field=field,
            kind=class_,
            reason=reason,
            owner=owner,
            expires_at=expires_at,
        )
        return await gateway.waivers.create(wish, actor=actor())

    _tell(with_gateway(work), json=json, done="waived; records that it covers are compared again now")


def revoke(waiver: str, /, *, json: Json = False) -> None:
    """End a waiver now; what it covers is compared again.

    Parameters
    ----------
    waiver:
        Its id, wai_….
    """
    found = with_gateway(lambda gateway: gateway.waivers.revoke(waiver, actor=actor()))
    _tell(found, json=json, done=f"{found.state}; records that it covered are compared again")


def _tell(found: Standing, *, json: bool, done: str) -> None:
    if json:
        put_json(told(found))
    else:
        say(f"{found.waiver.id}: {done}")


def _print(found: list[Standing]) -> None:
    put_table(
        ("waiver", "slice", "field", "class", "until", "owner", "state", "findings", "money", "reason"),
        [
            (
                one.waiver.id,
                f"{one.waiver.entity}/{one.waiver.region}",
                one.waiver.field or "(record)",
                one.waiver.kind + (", one pair of values" if one.waiver.pair is not None else ""),
                from_micros(one.waiver.expires_at).strftime("%Y-%m-%d %H:%M"),
                one.waiver.owner,
                one.state,
                one.findings,
                ", ".join(money(amount, currency) for currency, amount in sorted(one.money.items())) or None,
                one.waiver.reason,
            )
            for one in found
        ],
        right=("findings", "money"),
    )
