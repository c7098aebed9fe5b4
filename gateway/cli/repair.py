"""``twinrun repair``: a mirror repaired from a reconciliation's differences, with a dry run and a second person."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import msgspec
from cyclopts import Parameter

from gateway import spreadsheet
from gateway.app import Gateway
from gateway.cli import codes
from gateway.cli.given import one_of
from gateway.cli.screen import Json, at_minute, put_json, put_table, say
from gateway.cli.session import KeyFile, secret, who, with_gateway
from gateway.compare.difference import DifferenceClass
from gateway.errors import Malformed
from gateway.http.admin.repair_wire import told, told_record
from gateway.repair.run import ACTIONS, OUTCOMES, WRITING, Action, Chosen, Item, Outcome, Repair, State
from gateway.repair.sheet import COLUMNS, rows, text

#: Seconds between two looks at a repair that others work on.
LOOK_S = 0.2
#: Records that are fetched at once, and lines that a list has at most.
PIECE, MOST = 200, 1_000
CLASSES = tuple(one.value for one in DifferenceClass)
Many = Annotated[list[str] | None, Parameter(consume_multiple=False, negative="")]


def plan(
    reconciliation: str,
    /,
    *,
    class_: Annotated[list[str] | None, Parameter(name="--class", consume_multiple=False, negative="")] = None,
    field: Many = None,
    record: Many = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> int:
    """A dry run: what would be written where. Nothing is written.

    Each unexplained record is read again in both systems. Exit code 0 when the plan is made, 3 when it could not be.

    Parameters
    ----------
    reconciliation:
        The id of a reconciliation that has ended, rcn_….
    class_:
        Only differences of this class, such as missing, value or amount; may be given again.
    field:
        Only this field, as lines[].amount or lines; may be given again.
    record:
        Only this record; may be given again.
    key_file:
        A file with your API key. Default: you are who is logged in at this terminal.
    """
    for one in class_ or ():
        one_of("--class", one, CLASSES)
    chosen = Chosen(
        classes=tuple(DifferenceClass(one) for one in class_ or ()),
        fields=tuple(field or ()),
        records=tuple(record or ()),
    )
    given = secret(key_file)

    async def work(gateway: Gateway) -> tuple[Repair, list[Item]]:
        person = await who(gateway, given, "admin:write")
        made = await gateway.repairer.plan(reconciliation, dry_run=True, actor=person, chosen=chosen)
        found = await _through(gateway, made, State.PLANNING, quiet=json)
        return found, await _records(gateway, found, None, None, MOST)

    found, items = with_gateway(work)
    if json:
        put_json({**msgspec.to_builtins(told(found)), "items": [told_record(found, one) for one in items]})
    else:
        _put_items(found, items)
        say(_line(found))
        if found.plan_hash and found.total:
            say(f"  twinrun repair request {found.id} --plan {found.plan_hash} --reason WHY")
    return codes.PASS if found.state is State.PLANNED else codes.UNSURE


def request(
    repair: str, /, *, plan: str, reason: str, key_file: KeyFile = None, json: Json = False
) -> None:
    """Ask for what a dry run has planned; another person has 30 minutes to approve it.

    Parameters
    ----------
    repair:
        Its id, rpr_….
    plan:
        The hash of the plan that you have looked at.
    reason:
        Why; kept in the audit.
    key_file:
        A file with your API key. Default: you are who is logged in at this terminal.
    """
    given = secret(key_file)

    async def work(gateway: Gateway) -> Repair:
        person = await who(gateway, given, "admin:write")
        return await gateway.repairer.request(repair, plan_hash=plan, actor=person, reason=reason)

    found = with_gateway(work)
    if json:
        put_json(told(found))
        return
    say(f"{found.id} waits for another person, until {at_minute(found.expires_at or 0)}:")
    say(f"  twinrun repair approve {found.id} --plan {found.plan_hash} --key-file FILE")


def approve(
    repair: str, /, *, plan: str, wait: bool = True, key_file: KeyFile = None, json: Json = False
) -> int:
    """Approve what somebody else has asked for, and see it through; what it writes is sent by the workers.

    Exit code 0 when everything is repaired, linked or superseded, 1 when something was refused, is left to a person, or
    the repair has not ended well.

    Parameters
    ----------
    repair:
        Its id, rpr_….
    plan:
        The hash of the plan that you have looked at.
    wait:
        Stay until it has ended; without, the workers carry it out.
    key_file:
        A file with your API key. Default: you are who is logged in at this terminal.
    """
    given = secret(key_file)

    async def work(gateway: Gateway) -> Repair:
        person = await who(gateway, given, "admin:approve")
        found = await gateway.repairer.approve(repair, plan_hash=plan, actor=person)
        if not wait:
            return found
        if not json:
            say("What it writes is sent by the workers: `twinrun serve` or `twinrun worker` has to run.")
        return await _through(gateway, found, State.RUNNING, State.VERIFYING, quiet=json)

    found = with_gateway(work)
    _shown(found, json=json)
    return codes.PASS if found.complete or not wait else codes.DIFFER


def status(
    repair: str | None = None,
    /,
    *,
    reconciliation: str | None = None,
    limit: int = 20,
    json: Json = False,
) -> int:
    """One repair, or those from a reconciliation, the newest first.

    Exit code of one repair: 1 when it has ended and something was refused or is left to a person, else 0.

    Parameters
    ----------
    repair:
        Its id, rpr_….
    reconciliation:
        The id of a reconciliation; left out, a repair has to be named.
    limit:
        How many are listed.
    """
    if not 1 <= limit <= MOST:
        raise Malformed(f"--limit {limit}; allowed is 1 to {MOST}")
    if (repair is None) == (reconciliation is None):
        raise Malformed("name a repair, or a reconciliation with --reconciliation")
    if repair is not None:
        found = with_gateway(lambda gateway: gateway.repairer.get(repair))
        _shown(found, json=json)
        return codes.DIFFER if found.state is State.DONE and not found.complete else codes.PASS
    listed = with_gateway(lambda gateway: gateway.repairer.list(reconciliation or "", limit=limit))
    if json:
        put_json({"items": [told(one) for one in listed], "next_cursor": None})
    elif listed:
        put_table(
            ("repair", "slice", "state", "records", "written for", "asked for by", "approved by", "at"),
            [
                (one.id, f"{one.entity}/{one.region}", one.state.value, one.total, one.writes,
                 one.requested_by, one.approved_by, at_minute(one.created_at))
                for one in listed
            ],
            right=("records", "written for"),
        )  # fmt: skip
    else:
        say("No repair was planned from it; `twinrun repair plan` plans one.")
    return codes.PASS


def records(
    repair: str,
    /,
    *,
    action: str | None = None,
    outcome: str | None = None,
    limit: int = 200,
    csv: Annotated[bool, Parameter(name="--csv", negative="")] = False,
    json: Json = False,
) -> int:
    """What is planned for each record of a repair, and what became of it.

    Parameters
    ----------
    repair:
        Its id, rpr_….
    action:
        Only of this action: create, link, update, ambiguous, person, blocked or nothing.
    outcome:
        Only of this outcome: planned, written, repaired, linked, superseded, person or failed.
    limit:
        How many lines the list has; a CSV has all.
    csv:
        As CSV, a line for each field.
    """
    one_of("--action", action, ACTIONS)
    one_of("--outcome", outcome, OUTCOMES)
    if not 1 <= limit <= MOST:
        raise Malformed(f"--limit {limit}; allowed is 1 to {MOST}")
    doing = None if action is None else Action(action)
    became = None if outcome is None else Outcome(outcome)

    async def work(gateway: Gateway) -> tuple[Repair, list[Item]]:
        found = await gateway.repairer.get(repair)
        return found, await _records(gateway, found, doing, became, None if csv else limit)

    found, items = with_gateway(work)
    if csv:
        for cells in (COLUMNS, *(cells for one in items for cells in rows(found, one))):
            sys.stdout.write(spreadsheet.line(cells))
        sys.stdout.flush()
    elif json:
        put_json({"items": [told_record(found, one) for one in items], "next_cursor": None})
    elif items:
        _put_items(found, items)
    else:
        say("No record fits.")
    return codes.PASS


def cancel(repair: str, /, *, reason: str | None = None, key_file: KeyFile = None, json: Json = False) -> None:
    """End a repair early; what is in the ledger goes on.

    Parameters
    ----------
    repair:
        Its id, rpr_….
    reason:
        Why; kept in the audit.
    key_file:
        A file with your API key. Default: you are who is logged in at this terminal.
    """
    given = secret(key_file)

    async def work(gateway: Gateway) -> Repair:
        person = await who(gateway, given, "admin:write")
        return await gateway.repairer.cancel(repair, actor=person, reason=reason)

    _shown(with_gateway(work), json=json)


async def _through(gateway: Gateway, repair: Repair, *states: State, quiet: bool) -> Repair:
    """Works on it, as workers may, for as long as it is in one of these states."""
    said = None
    while repair.state in states:
        if not await gateway.repairer.run_once(only=repair.id):
            await gateway.clock.sleep(LOOK_S)
        repair = await gateway.repairer.get(repair.id)
        if not quiet and (line := _line(repair)) != said:
            said = line
            say(line)
    return repair


async def _records(
    gateway: Gateway, repair: Repair, action: Action | None, outcome: Outcome | None, limit: int | None
) -> list[Item]:
    found: list[Item] = []
    while limit is None or len(found) < limit:
        wanted = PIECE if limit is None else min(PIECE, limit - len(found))
        piece = await gateway.repairer.records(
            repair.id,
            action=action,
            outcome=outcome,
            after=found[-1].record_id if found else "",
            limit=wanted,
        )
        found.extend(piece)
        if len(piece) < wanted:
            break
    return found


def _put_items(repair: Repair, items: Sequence[Item]) -> None:
    lines: list[tuple[str | None, ...]] = []
    for one in items:
        money = ", ".join(f"{amount} {currency}" for currency, amount in sorted(one.money.items()))
        first = (one.record_id, one.action.value, repair.target, one.native_id)
        last = (money, one.outcome.value, one.why)
        if one.action not in WRITING:
            lines.append((*first, None, None, None, *last))
        changes = one.changes if one.action in WRITING else ()
        lines.extend((*first, each.field, text(each.before), text(each.after), *last) for each in changes)
    put_table(
        ("record", "action", "system", "native id", "field", "from", "to", "at stake", "outcome", "why"), lines
    )


def _shown(found: Repair, *, json: bool) -> None:
    if json:
        put_json(told(found))
    else:
        say(_line(found))
        if found.plan_hash is not None:
            say(f"Plan {found.plan_hash}")


def _line(one: Repair) -> str:
    words = f"{one.id}: {one.entity} in {one.region}, {one.source} to {one.target}: {one.state.value}"
    parts = [f"{count} {action.value}" for action, count in sorted(one.planned.items())]
    parts += [f"{amount} {currency} at stake" for currency, amount in sorted(one.money.items())]
    if one.approved_at is not None:
        parts = [f"{count} {outcome.value}" for outcome, count in sorted(one.outcomes.items())]
    if one.note is not None:
        parts.append(one.note)
    return f"{words}; {', '.join(parts)}" if parts else words
