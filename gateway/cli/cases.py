"""``twinrun cases``: what waits for a person, and what a person decides about it."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gateway.app import Gateway
from gateway.canonical import BY_NAME
from gateway.cases import KINDS, RESOLUTIONS, Case, Kind, Resolution
from gateway.cases.case import STATES
from gateway.cases.kinds import needs_second
from gateway.cases.queries import Filter
from gateway.cases.queue import Detail
from gateway.cases.resolve import Decision
from gateway.cli.given import micros, one_of
from gateway.cli.screen import Json, out, put_json, put_table, say
from gateway.cli.session import actor, with_gateway
from gateway.console.words import duration, money
from gateway.database import from_micros, to_micros
from gateway.errors import Malformed
from gateway.http.admin.case_wire import in_full, shown

HOUR = 3_600_000_000
MOST = 10_000

As = Annotated[str, Parameter(name="--as")]


def list_(
    *,
    state: str = "open",
    owner: str | None = None,
    kind: str | None = None,
    entity: str | None = None,
    region: str | None = None,
    older_than: float | None = None,
    limit: int = 50,
    json: Json = False,
) -> None:
    """What waits for a person, the nearest deadline first.

    Parameters
    ----------
    state:
        open, closed or all.
    owner:
        Only what this person or role has.
    kind:
        Only this kind, such as parked_delivery.
    entity:
        Only this entity.
    region:
        Only this region.
    older_than:
        Only what was opened at least so many hours ago.
    limit:
        How many cases are listed.
    """
    one_of("--state", state, (*STATES, "all"))
    one_of("--kind", kind, tuple(one.value for one in Kind))
    one_of("--entity", entity, tuple(BY_NAME))
    if not 1 <= limit <= MOST:
        raise Malformed(f"--limit {limit}; allowed is 1 to {MOST}")
    if older_than is not None and older_than < 0:
        raise Malformed(f"--older-than {older_than}; hours, 0 or more")

    async def work(gateway: Gateway) -> tuple[list[Case], int]:
        one_of("--region", region, gateway.slices.places())
        now = to_micros(gateway.clock.now())
        narrowed = Filter(
            state=None if state == "all" else state,
            owner=owner,
            kind=kind,
            entity=entity,
            region=region,
            opened_before=None if older_than is None else now - int(older_than * HOUR),
        )
        return await gateway.cases.page(narrowed, limit=limit), now

    found, now = with_gateway(work)
    if json:
        put_json({"items": [shown(case) for case in found], "next_cursor": None})
        return
    if not found:
        say("Nothing waits for a person here.")
        return
    put_table(
        ("id", "kind", "entity", "region", "at stake", "age", "deadline", "owner", "state", "what it says"),
        [
            (
                case.id, case.kind.value, case.entity, case.region, _stake(case), _age(case, now),
                _deadline(case, now), case.owner, case.state, case.message or KINDS[case.kind].title,
            )
            for case in found
        ],
        right=("at stake", "age"),
    )  # fmt: skip


def show(case_id: str, /, *, json: Json = False) -> None:
    """One case: what happened, what may be decided, and its history.

    Parameters
    ----------
    case_id:
        Its id, as `twinrun cases` shows it.
    """
    _told(with_gateway(lambda gateway: gateway.cases.one(case_id)), json=json)


def assign(case_id: str, owner: str, /, *, json: Json = False) -> None:
    """Give a case to a person or a role.

    Parameters
    ----------
    case_id:
        Its id.
    owner:
        A person's name, or a role.
    """
    _told(with_gateway(lambda gateway: gateway.cases.assign(case_id, owner, by=actor())), json=json)


def comment(case_id: str, text: str, /, *, json: Json = False) -> None:
    """Add a line to the history of a case.

    Parameters
    ----------
    case_id:
        Its id.
    text:
        What is to be kept.
    """
    _told(with_gateway(lambda gateway: gateway.cases.comment(case_id, text, by=actor())), json=json)


def resolve(
    case_id: str,
    /,
    *,
    as_: As,
    reason: str,
    until: str | None = None,
    native_id: str | None = None,
    json: Json = False,
) -> None:
    """Decide a case. Where money would be sent again or refused, a second person has to decide the same.

    Parameters
    ----------
    case_id:
        Its id.
    as_:
        The decision: one of those that `twinrun cases show` offers.
    reason:
        Why; it is kept in the audit.
    until:
        For accept_divergence: when the accepted difference ends, RFC 3339 or a day.
    native_id:
        For applied: how the system calls the record, where you know it.
    """
    one_of("--as", as_, tuple(one.value for one in Resolution))
    decision = Decision(
        case_id=case_id,
        resolution=Resolution(as_),
        reason=reason,
        by=actor(),
        until=micros("--until", until),
        native_id=native_id,
    )
    _told(with_gateway(lambda gateway: gateway.cases.resolve(decision)), json=json)


def _told(detail: Detail, *, json: bool) -> None:
    if json:
        put_json(in_full(detail))
        return
    case = detail.case
    kind = KINDS[case.kind]
    lines = [
        f"{kind.title}: {case.entity} {case.record_id} in {case.region}",
        kind.cause,
        *([f"{case.system} says: {case.message}"] if case.message else []),
        f"It is {case.state}; {case.owner} has it, by {_moment_of(case.due_at)}."
        + (f" At stake: {stake}." if (stake := _stake(case)) else ""),
    ]
    if case.state == "open":
        lines.append(kind.remedy)
    else:
        lines.append(f"Closed by {case.closed_by}: {case.resolution}. {case.reason or ''}".rstrip())
    if case.proposal is not None:
        lines.append(
            f"{case.proposal.by} has proposed {case.proposal.resolution.value}; a second person decides the same."
        )
    for line in lines:
        out().print(line, markup=False)
    if case.offers:
        put_table(
            ("--as", "what it does", "persons"),
            [
                (one.value, RESOLUTIONS[one].meaning, 2 if needs_second(one, case.entity) else 1)
                for one in case.offers
            ],
            title="\nDecisions",
            right=("persons",),
        )
    elif case.state == "open":
        out().print("\nThe ledger is at work on it; there is nothing to decide now.", markup=False)
    put_table(
        ("at", "who", "event", "detail"),
        [(_moment_of(one.at), one.actor, one.event, one.detail) for one in detail.events],
        title="\nHistory",
    )


def _stake(case: Case) -> str | None:
    return None if case.amount is None else money(case.amount, case.currency or "")


def _age(case: Case, now: int) -> str:
    return duration(max(0, (case.closed_at or now) - case.opened_at) / 1_000_000)


def _deadline(case: Case, now: int) -> str:
    late = case.state == "open" and case.due_at < now
    return _moment_of(case.due_at) + (" (late)" if late else "")


def _moment_of(micros: int) -> str:
    return from_micros(micros).strftime("%Y-%m-%d %H:%M")
