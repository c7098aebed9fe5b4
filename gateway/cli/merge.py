"""``twinrun merge``: two records that are one, merged and parted again by two persons."""

from __future__ import annotations

from gateway.app import Gateway
from gateway.canonical import BY_NAME
from gateway.cli.given import one_of
from gateway.cli.screen import Json, at_minute, put_json, put_table, say
from gateway.cli.session import KeyFile, who, with_gateway
from gateway.cli.session import secret as secret_in
from gateway.crosswalk.merges import Merge, MergeKind, MergeState
from gateway.errors import Malformed
from gateway.http.admin.merges import told
from gateway.merging import MergeWish

MOST = 1_000


def request(
    record: str,
    /,
    *,
    into: str,
    reason: str,
    both_at_authority: bool = False,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Ask for a record to be merged into another one. Another person has to approve what that changes.

    Parameters
    ----------
    record:
        The id of the record that becomes part of the other.
    into:
        The id of the record that stays.
    reason:
        Why; it is kept in the history.
    both_at_authority:
        Although the system that answers holds each as a record of its own; both stay there.
    key_file:
        A file with your API key. Default: you are who is logged in at this terminal.
    """
    secret = secret_in(key_file)
    wish = MergeWish(loser=record, winner=into, reason=reason, both=both_at_authority)

    async def work(gateway: Gateway) -> Merge:
        return await gateway.merging.request(wish, actor=await who(gateway, secret, "admin:write"))

    _asked(with_gateway(work), json=json)


def split(merge: str, /, *, reason: str, key_file: KeyFile = None, json: Json = False) -> None:
    """Ask for the way back from a merge that is done. Another person has to approve it.

    Parameters
    ----------
    merge:
        Its id, mrg_….
    reason:
        Why; it is kept in the history.
    key_file:
        A file with your API key. Default: you are who is logged in at this terminal.
    """
    secret = secret_in(key_file)

    async def work(gateway: Gateway) -> Merge:
        person = await who(gateway, secret, "admin:write")
        return await gateway.merging.split(merge, reason=reason, actor=person)

    _asked(with_gateway(work), json=json)


def approve(merge: str, /, *, evidence: str, key_file: KeyFile = None, json: Json = False) -> None:
    """Approve what somebody else has asked for; then it is done.

    Parameters
    ----------
    merge:
        Its id, mrg_….
    evidence:
        The hash of what you have looked at.
    key_file:
        A file with your API key. Default: you are who is logged in at this terminal.
    """
    secret = secret_in(key_file)

    async def work(gateway: Gateway) -> Merge:
        person = await who(gateway, secret, "admin:approve")
        return await gateway.merging.approve(merge, evidence_hash=evidence, actor=person)

    _shown(with_gateway(work), json=json)


def abort(merge: str, /, *, reason: str, key_file: KeyFile = None, json: Json = False) -> None:
    """End a merge or a split that is not done; both records stay as they are.

    Parameters
    ----------
    merge:
        Its id, mrg_….
    reason:
        Why.
    key_file:
        A file with your API key. Default: you are who is logged in at this terminal.
    """
    secret = secret_in(key_file)

    async def work(gateway: Gateway) -> Merge:
        person = await who(gateway, secret, "admin:write")
        return await gateway.merging.abort(merge, reason=reason, actor=person)

    _shown(with_gateway(work), json=json)


def status(
    merge: str | None = None,
    /,
    *,
    entity: str | None = None,
    region: str | None = None,
    state: str | None = None,
    limit: int = 20,
    json: Json = False,
) -> None:
    """One merge with what it changes, or the newest ones.

    Parameters
    ----------
    merge:
        Its id, mrg_…; left out, the newest ones are listed.
    entity:
        Only of this entity.
    region:
        Only in this region.
    state:
        requested, done or aborted.
    limit:
        How many are listed.
    """
    one_of("--entity", entity, tuple(BY_NAME))
    one_of("--state", state, tuple(MergeState))
    if not 1 <= limit <= MOST:
        raise Malformed(f"--limit {limit}; allowed is 1 to {MOST}")
    if merge is not None:
        found = with_gateway(lambda gateway: gateway.merging.one(merge))
        if not json:
            _print_evidence(found)
        _shown(found, json=json)
        return

    async def work(gateway: Gateway) -> list[Merge]:
        one_of("--region", region, gateway.slices.places())
        return list(await gateway.merging.page(entity=entity, region=region, state=state, limit=limit))

    listed = with_gateway(work)
    if json:
        put_json({"items": [told(one) for one in listed], "next_cursor": None})
    elif listed:
        put_table(
            ("merge", "kind", "slice", "record", "into", "state", "requested by", "approved by", "at", "reason"),
            [
                (
                    one.id,
                    one.kind,
                    f"{one.entity}/{one.region}",
                    one.loser,
                    one.winner,
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
        say("No merge fits.")


def _asked(made: Merge, *, json: bool) -> None:
    if json:
        put_json(told(made))
        return
    _print_evidence(made)
    say(f"{made.id} waits for another person, until {at_minute(made.expires_at)}:")
    say(f"  twinrun merge approve {made.id} --evidence {made.evidence_hash} --key-file FILE")


def _shown(found: Merge, *, json: bool) -> None:
    if json:
        put_json(told(found))
    else:
        say(_line(found))


def _line(one: Merge) -> str:
    joins = "into" if one.kind is MergeKind.MERGE else "from"
    words = f"{one.id}: {one.entity} {one.loser} {joins} {one.winner}: {one.state}"
    if one.problem is not None:
        return f"{words}: {one.problem.message}"
    return words if one.undone_by is None else f"{words}, taken back by {one.undone_by}"


def _print_evidence(one: Merge) -> None:
    seen = one.evidence
    put_table(
        ("record", "version", "number", "links"),
        [
            (
                f"{side} {seen[side]['id']}",
                seen[side]["version"],
                seen[side]["number"] or "",
                _links(seen[side]["links"]),
            )
            for side in ("loser", "winner")
        ],
    )
    parts = [
        f"moved: {_links(seen['links']['moved']) or 'no link'}",
        f"stays with the tombstone: {_links(seen['links']['stay']) or 'no link'}",
        f"number {seen['number']['value'] or ''} {seen['number']['becomes']}".replace("  ", " "),
    ]
    if seen["told"] is not None:
        parts.append(f"{seen['told']} is told the {seen['document']}'s document")
    parts += [f"{count} of {entity} refer to the loser" for entity, count in seen["dependants"].items()]
    say("; ".join(parts))
    say(f"Evidence {one.evidence_hash}")


def _links(links: dict[str, str]) -> str:
    return ", ".join(f"{system} {native}" for system, native in links.items())
