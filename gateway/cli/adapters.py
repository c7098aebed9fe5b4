"""``twinrun adapters``: the products that can stand on either side, and how far each can be relied on."""

from __future__ import annotations

from adapters.check import check as held_against
from adapters.profile import load, names
from gateway.cli import codes
from gateway.cli.screen import Json, put_json, put_table, say


def list_(*, json: Json = False) -> None:
    """Every profile that ships, with its protocol and grade."""
    profiles = [load(name) for name in names()]
    if json:
        put_json(
            {
                "items": [
                    {
                        "name": name,
                        "product": profile.product,
                        "version": profile.version,
                        "protocol": profile.protocol,
                        "grade": profile.grade,
                        "entities": list(profile.entities),
                        "source": profile.source,
                    }
                    for name, profile in zip(names(), profiles, strict=True)
                ],
                "next_cursor": None,
            }
        )
        return
    put_table(
        ("name", "product", "version", "protocol", "grade", "entities"),
        [
            (
                name,
                profile.product,
                profile.version,
                profile.protocol,
                profile.grade,
                ", ".join(profile.entities),
            )
            for name, profile in zip(names(), profiles, strict=True)
        ],
    )


def check(profile: str, /, *, json: Json = False) -> int:
    """Hold one profile against the rules for adapters. Exit code 1 where something is still to do.

    Parameters
    ----------
    profile:
        The name of a profile that ships, or the path of a TOML file.
    """
    loaded = load(profile)
    found = held_against(loaded)
    if json:
        put_json(
            {"product": loaded.product, "version": loaded.version, "grade": loaded.grade, "rules": found}
        )
    else:
        put_table(
            ("rule", "standing", "law", "missing"),
            [(one.rule, one.standing, one.law, "; ".join(one.missing) or None) for one in found],
        )
        say(f"{loaded.product} {loaded.version}: grade {loaded.grade}")
    return codes.DIFFER if any(one.standing == "todo" for one in found) else codes.PASS
