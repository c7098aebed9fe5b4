"""``twinrun rules guards``: which slices go back by themselves, and how near they are to it."""

from __future__ import annotations

from gateway.cli.screen import Json, at_minute, put_json, put_table, say
from gateway.cli.session import with_gateway
from gateway.http.admin.guards import told


def guards(*, json: Json = False) -> None:
    """Every slice that has a guard in the rule files, with what its guard has seen and done."""
    found = with_gateway(lambda gateway: gateway.guarding.standing())
    if json:
        put_json({"items": [told(one) for one in found], "next_cursor": None})
    elif found:
        put_table(
            ("slice", "guard", "gates", "verdict", "failing", "then", "rests until", "switch", "what fails"),
            [
                (
                    f"{one.entity}/{one.region}",
                    one.guard,
                    ", ".join(one.gates),
                    one.verdict or ("not yet" if one.watching else "not in live"),
                    f"{one.failing} of {one.windows}",
                    one.then,
                    "" if one.held_until is None else at_minute(one.held_until),
                    one.switch_id or "",
                    "; ".join(one.failed),
                )
                for one in found
            ],
        )
    else:
        say("No slice has a guard: see guards.toml in the folder of the rules.")
