"""``twinrun rules schedule``, ``scheduled``, ``unschedule``: changes that are made at a time."""

from __future__ import annotations

from gateway.app import Gateway
from gateway.canonical import BY_NAME
from gateway.cli.given import moment, one_of
from gateway.cli.screen import Json, at_minute, put_json, put_table, say
from gateway.cli.session import KeyFile, who, with_gateway
from gateway.cli.session import secret as secret_in
from gateway.errors import Malformed
from gateway.http.admin.scheduled_wire import told
from gateway.routing.stage import Stage
from gateway.switchover.schedule import ScheduleWish
from gateway.switchover.scheduled import Scheduled
from gateway.switchover.states import ScheduleState

MOST = 1_000


def schedule(
    entity: str,
    region: str,
    stage: str,
    /,
    *,
    at: str,
    reason: str,
    override: bool = False,
    two_person: bool = False,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Have a slice moved to a stage at a time. Everything is judged again then, and what stands against it refuses it.

    Parameters
    ----------
    entity:
        The entity.
    region:
        The region.
    stage:
        Where the slice is to go.
    at:
        When: a moment of RFC 3339, such as 2026-12-05T22:00:00Z; without a zone it is UTC.
    reason:
        Why; it stands in the history.
    override:
        Move although a gate stands against it then.
    two_person:
        Another person has to approve it before; without, as the settings say.
    key_file:
        A file with your API key. Default: you are who is logged in at this terminal.
    """
    secret = secret_in(key_file)
    one_of("ENTITY", entity, tuple(BY_NAME))
    one_of("STAGE", stage, tuple(Stage))
    effective = moment("--at", at)
    assert effective is not None

    async def work(gateway: Gateway) -> Scheduled:
        one_of("REGION", region, gateway.slices.places())
        wish = ScheduleWish(
            entity=entity,
            region=region,
            stage=Stage(stage),
            at=effective,
            reason=reason,
            override=override,
            two_person=two_person,
        )
        return await gateway.switchover.schedule.request(
            wish, actor=await who(gateway, secret, "admin:write")
        )

    made = with_gateway(work)
    _show(made, json=json)
    if not json and made.state is ScheduleState.REQUESTED:
        say("Another person has to approve it before:")
        say(f"  twinrun rules approve {made.id} --plan {made.plan_hash} --key-file FILE")


def scheduled(
    change: str | None = None,
    /,
    *,
    entity: str | None = None,
    region: str | None = None,
    state: str | None = None,
    limit: int = 20,
    json: Json = False,
) -> None:
    """One scheduled change, or the newest ones.

    Parameters
    ----------
    change:
        Its id, sch_…; left out, the newest ones are listed.
    entity:
        Only of this entity.
    region:
        Only in this region.
    state:
        requested, scheduled, begun, done, refused or cancelled.
    limit:
        How many are listed.
    """
    one_of("--entity", entity, tuple(BY_NAME))
    one_of("--state", state, tuple(ScheduleState))
    if not 1 <= limit <= MOST:
        raise Malformed(f"--limit {limit}; allowed is 1 to {MOST}")
    if change is not None:
        found = with_gateway(lambda gateway: gateway.switchover.schedule.one(change))
        _show(found, json=json)
        return

    async def work(gateway: Gateway) -> list[Scheduled]:
        one_of("--region", region, gateway.slices.places())
        return list(
            await gateway.switchover.schedule.page(entity=entity, region=region, state=state, limit=limit)
        )

    listed = with_gateway(work)
    if json:
        put_json({"items": [told(one) for one in listed], "next_cursor": None})
    elif listed:
        put_table(
            (
                "change",
                "slice",
                "from",
                "to",
                "at",
                "state",
                "requested by",
                "approved by",
                "reason",
                "problem",
            ),
            [
                (
                    one.id,
                    f"{one.entity}/{one.region}",
                    one.from_stage,
                    one.to_stage,
                    at_minute(one.effective_at),
                    one.state,
                    one.requested_by,
                    one.approved_by,
                    one.reason,
                    "" if one.problem is None else one.problem.message,
                )
                for one in listed
            ],
        )
    else:
        say("No change is scheduled.")


def unschedule(change: str, /, *, reason: str, key_file: KeyFile = None, json: Json = False) -> None:
    """End a scheduled change whose time has not come.

    Parameters
    ----------
    change:
        Its id, sch_….
    reason:
        Why.
    key_file:
        A file with your API key. Default: you are who is logged in at this terminal.
    """
    secret = secret_in(key_file)

    async def work(gateway: Gateway) -> Scheduled:
        actor = await who(gateway, secret, "admin:write")
        return await gateway.switchover.schedule.cancel(change, reason=reason, actor=actor)

    _show(with_gateway(work), json=json)


def approve(change: str, /, *, plan: str, key_file: KeyFile = None, json: Json = False) -> None:
    """Approve a scheduled change that somebody else has asked for.

    Parameters
    ----------
    change:
        Its id, sch_….
    plan:
        The hash of the plan that you have looked at.
    key_file:
        A file with your API key. Default: you are who is logged in at this terminal.
    """
    secret = secret_in(key_file)

    async def work(gateway: Gateway) -> Scheduled:
        actor = await who(gateway, secret, "admin:approve")
        return await gateway.switchover.schedule.approve(change, plan_hash=plan, actor=actor)

    _show(with_gateway(work), json=json)


def _show(found: Scheduled, *, json: bool) -> None:
    if json:
        put_json(told(found))
    else:
        say(_line(found))


def _line(one: Scheduled) -> str:
    way = f"{one.entity} in {one.region}, {one.from_stage} to {one.to_stage}"
    words = f"{one.id}: {way} at {at_minute(one.effective_at)}: {one.state}"
    if one.problem is not None:
        return f"{words}: {one.problem.message}"
    return f"{words} with {one.switch_id}" if one.switch_id else words
