"""``twinrun switch``: moves of authority, asked for by one person and approved by another."""

from __future__ import annotations

from gateway.app import Gateway
from gateway.canonical import BY_NAME
from gateway.cli.codes import DIFFER, PASS
from gateway.cli.given import one_of
from gateway.cli.screen import Json, at_minute, put_json, put_table, say
from gateway.cli.session import KeyFile, who, with_gateway
from gateway.cli.session import secret as secret_in
from gateway.errors import Malformed
from gateway.http.admin.switches import told
from gateway.routing.stage import Stage
from gateway.routing.transition import EMERGENCIES
from gateway.switchover import Switch
from gateway.switchover.emergency import KIND as EMERGENCY
from gateway.switchover.states import SwitchState
from gateway.switchover.switches import Wish

#: How often a switch is looked at while somebody waits for its end.
LOOK_S = 0.3
MOST = 1_000


def request(
    entity: str,
    region: str,
    stage: str,
    /,
    *,
    reason: str,
    override: bool = False,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Ask for a move of authority, or for the way back. Another person has to approve its evidence.

    Parameters
    ----------
    entity:
        The entity.
    region:
        The region.
    stage:
        Where the slice is to go.
    reason:
        Why; it is kept in the history.
    override:
        Ask although a gate fails; the evidence names each.
    key_file:
        A file with your API key. Default: you are who is logged in at this terminal.
    """
    secret = secret_in(key_file)
    one_of("ENTITY", entity, tuple(BY_NAME))
    one_of("STAGE", stage, tuple(Stage))

    async def work(gateway: Gateway) -> Switch:
        one_of("REGION", region, gateway.slices.places())
        rule = gateway.slices.cached(entity, region)
        wish = Wish(
            entity=entity,
            region=region,
            stage=Stage(stage),
            reason=reason,
            expected_version=rule.version,
            override=override,
        )
        return await gateway.switchover.switches.request(
            wish, actor=await who(gateway, secret, "admin:write")
        )

    _asked(with_gateway(work), json=json)


def emergency(
    entity: str,
    region: str,
    /,
    *,
    reason: str,
    override: bool = False,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Ask to leave an authority that does not answer. Prints the writes of which nobody knows what it did; another
    person, with a key, has to approve that list within 30 minutes.

    Parameters
    ----------
    entity:
        The entity.
    region:
        The region.
    reason:
        Why; it is kept in the history.
    override:
        Ask although a gate fails; the evidence names each.
    key_file:
        A file with your API key. Default: you are who is logged in at this terminal.
    """
    secret = secret_in(key_file)
    one_of("ENTITY", entity, tuple(BY_NAME))

    async def work(gateway: Gateway) -> Switch:
        one_of("REGION", region, gateway.slices.places())
        rule = gateway.slices.cached(entity, region)
        wish = Wish(
            entity=entity,
            region=region,
            stage=EMERGENCIES.get(rule.stage, rule.stage),
            reason=reason,
            expected_version=rule.version,
            override=override,
        )
        return await gateway.switchover.switches.emergency(
            wish, actor=await who(gateway, secret, "admin:write")
        )

    _asked(with_gateway(work), json=json)


def approve(
    switch: str, /, *, evidence: str, wait: bool = True, key_file: KeyFile = None, json: Json = False
) -> int:
    """Approve what somebody else has asked for, and see it through. Exit code 1 when it was aborted.

    Parameters
    ----------
    switch:
        Its id, swi_….
    evidence:
        The hash of the evidence that you have looked at.
    wait:
        Stay until it has ended; without, the serving processes carry it on.
    key_file:
        A file with your API key. Default: you are who is logged in at this terminal.
    """
    secret = secret_in(key_file)

    async def work(gateway: Gateway) -> Switch:
        switches = gateway.switchover.switches
        if secret is None and (await switches.one(switch)).kind == EMERGENCY:
            raise Malformed("an emergency is approved with the key of an approver: add --key-file FILE")
        now = await switches.approve(
            switch, evidence_hash=evidence, actor=await who(gateway, secret, "admin:approve")
        )
        state = None
        while wait and now.ended_at is None:
            if now.state is not state and not json:
                state = now.state
                say(_line(now))
            await gateway.clock.sleep(LOOK_S)
            now = await switches.one(switch)
        return now

    return _end(with_gateway(work), json=json)


def abort(switch: str, /, *, reason: str, key_file: KeyFile = None, json: Json = False) -> None:
    """End a switch that is not committed; the slice stays as it was.

    Parameters
    ----------
    switch:
        Its id, swi_….
    reason:
        Why.
    key_file:
        A file with your API key. Default: you are who is logged in at this terminal.
    """
    secret = secret_in(key_file)

    async def work(gateway: Gateway) -> Switch:
        person = await who(gateway, secret, "admin:write")
        return await gateway.switchover.switches.abort(switch, reason=reason, actor=person)

    found = with_gateway(work)
    if json:
        put_json(told(found))
    else:
        say(_line(found))


def status(
    switch: str | None = None,
    /,
    *,
    entity: str | None = None,
    region: str | None = None,
    state: str | None = None,
    limit: int = 20,
    json: Json = False,
) -> None:
    """One switch with its evidence, or the newest ones.

    Parameters
    ----------
    switch:
        Its id, swi_…; left out, the newest ones are listed.
    entity:
        Only of this entity.
    region:
        Only in this region.
    state:
        requested, approved, fencing, draining, committed or aborted.
    limit:
        How many are listed.
    """
    one_of("--entity", entity, tuple(BY_NAME))
    one_of("--state", state, tuple(SwitchState))
    if not 1 <= limit <= MOST:
        raise Malformed(f"--limit {limit}; allowed is 1 to {MOST}")
    if switch is not None:
        found = with_gateway(lambda gateway: gateway.switchover.switches.one(switch))
        if json:
            put_json(told(found))
        else:
            _print_evidence(found)
            say(_line(found))
        return

    async def work(gateway: Gateway) -> list[Switch]:
        one_of("--region", region, gateway.slices.places())
        return list(
            await gateway.switchover.switches.page(entity=entity, region=region, state=state, limit=limit)
        )

    listed = with_gateway(work)
    if json:
        put_json({"items": [told(one) for one in listed], "next_cursor": None})
    elif listed:
        put_table(
            ("switch", "slice", "from", "to", "state", "requested by", "approved by", "at", "reason"),
            [
                (
                    one.id,
                    f"{one.entity}/{one.region}",
                    one.from_stage,
                    one.to_stage,
                    one.state,
                    one.requested_by,
                    one.approved_by,
                    at_minute(one.requested_at),
                    one.reason,
                )
                for one in listed
            ],
        )
    else:
        say("No switch fits.")


def _asked(made: Switch, *, json: bool) -> None:
    if json:
        put_json(told(made))
        return
    _print_evidence(made)
    say(f"{made.id} waits for another person, until {at_minute(made.expires_at)}:")
    say(f"  twinrun switch approve {made.id} --evidence {made.evidence_hash} --key-file FILE")


def _end(found: Switch, *, json: bool) -> int:
    if json:
        put_json(told(found))
    else:
        say(_line(found))
    return DIFFER if found.state is SwitchState.ABORTED else PASS


def _line(one: Switch) -> str:
    words = f"{one.id}: {one.entity} in {one.region}, {one.from_stage} to {one.to_stage}: {one.state}"
    if one.problem is not None:
        return f"{words}: {one.problem.message}"
    if one.state is SwitchState.DRAINING and one.remaining:
        return f"{words}, {one.remaining} deliveries under way"
    if one.counts is not None and one.ended_at is not None:
        counts = one.counts
        return f"{words}: {counts.stranded} stranded, {counts.recalled} taken back, {counts.released} let go"
    return words


def _print_evidence(one: Switch) -> None:
    seen = one.evidence
    put_table(
        ("gate", "holds", "what stands against it"),
        [
            (gate["gate"], "yes" if gate["passed"] else "NO", gate["message"] or "")
            for gate in seen.get("gates", ())
        ],
    )
    if one.kind == EMERGENCY:
        _print_stranded(one)
        return
    records = seen["differences"]["records"]
    parts = [f"{count} records {verdict}" for verdict, count in sorted(records.items())]
    parts += [f"{count} deliveries {state}" for state, count in sorted(seen["deliveries"].items())]
    parts += [f"{count} cases of {kind}" for kind, count in seen["cases"]["open"].items()]
    parts += [f"{currency} {amount} in cases" for currency, amount in seen["cases"]["amount"].items()]
    parts += [f"waiver {waiver['id']} of {waiver['field'] or 'the record'}" for waiver in seen["waivers"]]
    parts += [f"mapping: {words}" for words in seen["mapping"]]
    say("; ".join(parts) or "Nothing else stands open.")
    say(f"Evidence {one.evidence_hash}")


def _print_stranded(one: Switch) -> None:
    """The list that two persons agree on: each write whose outcome in the dead system is open."""
    found = one.evidence["stranded"]
    if found["count"]:
        put_table(
            ("operation", "record", "kind", "number", "accepted", "amount", "in the books"),
            [
                (
                    line["operation"],
                    line["record"],
                    line["kind"],
                    line["number"] or "",
                    line["accepted_at"],
                    "" if line["amount"] is None else f"{line['amount']['amount']} {line['amount']['currency']}",
                    "yes" if line["posted"] else "",
                )
                for line in found["listed"]
            ],
        )
    if found["count"] > len(found["listed"]):
        say(f"… and {found['count'] - len(found['listed'])} more, which the hash covers")
    amounts = ", ".join(f"{amount} {currency}" for currency, amount in found["amount"].items())
    say(f"{found['count']} writes are stranded{f', {amounts}' if amounts else ''}: each gets a case")
    if one.counts is not None:
        heir = one.next_authority
        say(f"{one.counts.recalled} were never sent and go to {heir}; {one.counts.undelivered} go there first")
    say(f"Evidence {one.evidence_hash}")
