"""``twinrun rules simulate``: a draft of the rules against the writes of the last days."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gateway.app import Gateway
from gateway.cli import codes
from gateway.cli.rules import changes_of
from gateway.cli.screen import Json, put_json, put_table, say
from gateway.cli.session import with_gateway
from gateway.errors import Malformed
from gateway.routing.stage import Stage
from gateway.switchover.simulation import DAYS, Simulated

Moves = Annotated[list[str] | None, Parameter(consume_multiple=False, negative="")]


def simulate(*, to: Moves = None, days: int = DAYS, json: Json = False) -> int:
    """What a draft would have meant: slices that move, dependencies that break, writes that each system gets.

    The draft is what the rule files would change, or what `--to` names. Nothing is changed. Exit code 1 where a
    dependency would break.

    Parameters
    ----------
    to:
        ENTITY/REGION=STAGE, such as customer/UK=live; may be repeated.
    days:
        The writes of so many days back are routed again.
    """
    named = dict(_read(one) for one in to or ())

    async def work(gateway: Gateway) -> Simulated | None:
        draft = named or {
            (one.entity, one.region): one.after.stage
            for one in await changes_of(gateway)
            if one.before is not None and one.after is not None and one.before.stage is not one.after.stage
        }
        if not draft:
            return None
        return await gateway.switchover.simulation.run(draft, days=days)

    found = with_gateway(work)
    if found is None:
        if json:
            put_json({"moves": [], "breaks": []})
        else:
            say("The rule files move no slice; name a draft with --to ENTITY/REGION=STAGE.")
        return codes.PASS
    if json:
        put_json(found)
    else:
        _print(found)
    return codes.DIFFER if found.breaks else codes.PASS


def _read(text: str) -> tuple[tuple[str, str], Stage]:
    slice_, _, stage = text.partition("=")
    entity, _, region = slice_.partition("/")
    if not entity or not region or stage not in tuple(Stage):
        raise Malformed(f"--to {text!r}; write ENTITY/REGION=STAGE with a stage of {', '.join(Stage)}")
    return (entity, region), Stage(stage)


def _print(found: Simulated) -> None:
    say(f"{found.writes:,} writes of the last {found.days} days, routed again")
    put_table(
        ("slice", "from", "to", "needs", "writes", "led by another system"),
        [
            (
                f"{one.entity}/{one.region}",
                one.from_stage,
                one.to_stage,
                ", ".join(
                    (
                        *(("an override",) if one.leap else ()),
                        *(("a switch",) if one.switches else ()),
                        *((f"an override of {one.frozen}",) if one.frozen else ()),
                        *one.gates,
                    )
                ),
                f"{one.writes:,}",
                f"{one.rerouted:,}",
            )
            for one in found.moves
        ],
        right=("writes", "led by another system"),
    )
    put_table(
        ("system", "first", "first by the draft", "then", "then by the draft"),
        [
            (one.system, f"{one.first:,}", f"{one.draft_first:,}", f"{one.then:,}", f"{one.draft_then:,}")
            for one in found.load
        ],
        right=("first", "first by the draft", "then", "then by the draft"),
    )
    for one in found.breaks:
        say(f"BREAKS {one.message} ({one.writes:,} writes)")
    say(f"Not measured: {', '.join(found.not_measured)}.")
