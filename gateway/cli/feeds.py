"""``twinrun feeds``: edits made in the systems themselves, and how far they are carried over."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.app import Gateway
from gateway.canonical import BY_NAME
from gateway.change_feed import STATES, Feed, State
from gateway.cli import codes
from gateway.cli.given import one_of
from gateway.cli.screen import Json, put_json, put_table, say
from gateway.cli.session import with_gateway
from gateway.http.admin.feeds import told
from gateway.routing.stage import System

_FIGURES = ("lag s", "seen", "echoes", "carried over", "put back", "conflicts", "open", "unlinked", "waiting")
#: States in which edits that ought to be seen are not.
_WRONG = (State.FAILING, State.BEHIND, State.NOT_STARTED)


def feeds(
    *,
    system: str | None = None,
    entity: str | None = None,
    region: str | None = None,
    state: str | None = None,
    json: Json = False,
) -> int:
    """Shows each change feed: how far it has come, what it has carried over, and why one does not follow.

    Exit code 1: one that ought to follow fails, is behind, has not begun, or has conflicts that wait for a person.

    Parameters
    ----------
    system:
        Only edits made in this system: legacy or cloud.
    entity:
        Only of this entity.
    region:
        Only of this region.
    state:
        Only in this state.
    """
    one_of("--system", system, tuple(one.value for one in System))
    one_of("--entity", entity, tuple(BY_NAME))
    one_of("--state", state, STATES)

    async def work(gateway: Gateway) -> Sequence[Feed]:
        one_of("--region", region, gateway.slices.places())
        return await gateway.follower.list(system=system, entity=entity, region=region)

    found = [one for one in with_gateway(work) if state in (None, one.state.value)]
    if json:
        put_json({"items": [told(one) for one in found], "next_cursor": None})
    elif found:
        put_table(
            ("system", "slice", "state", "cursor", *_FIGURES, "why"),
            [
                (
                    one.system, f"{one.entity}/{one.region}", one.state.value, (told(one).cursor_at or "")[:19],
                    told(one).lag_s, one.seen, one.echoes, one.carried, one.reverted, one.conflicts,
                    one.open_conflicts, one.unlinked, one.waiting, one.why,
                )
                for one in found
            ],
            right=_FIGURES,
        )  # fmt: skip
    else:
        say("No feed fits.")
    return codes.DIFFER if any(one.state in _WRONG or one.open_conflicts for one in found) else codes.PASS
