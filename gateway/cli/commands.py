"""The tree of commands, and how whatever one raises becomes one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, UnknownCommandError

from gateway import __version__
from gateway.cli import codes
from gateway.cli.screen import say

#: noun -> what it is about; and its verbs: name -> (where the function is, what it does)
NOUNS: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "db": (
        "The gateway's own database.",
        {"upgrade": ("gateway.cli.db:upgrade", "Bring the database to the tables of this version.")},
    ),
    "rules": (
        "Where each slice is on its way, and how it moves.",
        {
            "show": ("gateway.cli.rules:show", "Every slice with its stage."),
            "plan": ("gateway.cli.rules:plan", "What the rule files would change in the database."),
            "apply": ("gateway.cli.rules:apply", "Write what `plan` shows."),
            "export": ("gateway.cli.rules:export", "The rules of the database as rule files."),
            "set": ("gateway.cli.rules:set_", "Move one slice to a stage."),
            "cohorts": ("gateway.cli.cohorts:cohorts", "Every cohort, and how many are in it."),
            "assign": ("gateway.cli.cohorts:assign", "Bring what is there already into a cohort."),
            "schedule": ("gateway.cli.scheduled:schedule", "Have a slice moved to a stage at a time."),
            "scheduled": ("gateway.cli.scheduled:scheduled", "Changes at a time, and what became of them."),
            "unschedule": ("gateway.cli.scheduled:unschedule", "End a scheduled change whose time has not come."),
            "approve": ("gateway.cli.scheduled:approve", "Approve a scheduled change of somebody else."),
            "guards": ("gateway.cli.guards:guards", "Which slices go back by themselves."),
            "simulate": ("gateway.cli.simulate:simulate", "What a draft of the rules would have meant."),
        },
    ),
    "keys": (
        "API keys.",
        {
            "create": ("gateway.cli.keys:create", "Make a key; it is shown once."),
            "list": ("gateway.cli.keys:list_", "Every key, without its secret."),
            "revoke": ("gateway.cli.keys:revoke", "End a key."),
        },
    ),
    "cases": (
        "What waits for a person; without a verb, the list.",
        {
            "list": ("gateway.cli.cases:list_", "What waits for a person, the nearest deadline first."),
            "show": ("gateway.cli.cases:show", "One case: what happened, what may be decided, its history."),
            "assign": ("gateway.cli.cases:assign", "Give a case to a person or a role."),
            "comment": ("gateway.cli.cases:comment", "Add a line to the history of a case."),
            "resolve": ("gateway.cli.cases:resolve", "Decide a case."),
        },
    ),
    "switch": (
        "Moves of authority, asked for by one person and approved by another; without a verb, the list.",
        {
            "request": ("gateway.cli.switch:request", "Ask for a move of authority, or for the way back."),
            "emergency": ("gateway.cli.switch:emergency", "Ask to leave an authority that does not answer."),
            "approve": ("gateway.cli.switch:approve", "Approve what somebody else has asked for."),
            "abort": ("gateway.cli.switch:abort", "End a switch that is not committed."),
            "status": ("gateway.cli.switch:status", "One switch with its evidence, or the newest ones."),
        },
    ),
    "merge": (
        "Two records that are one, merged by two persons, and the way back; without a verb, the list.",
        {
            "request": ("gateway.cli.merge:request", "Ask for a record to be merged into another one."),
            "approve": ("gateway.cli.merge:approve", "Approve what somebody else has asked for."),
            "abort": ("gateway.cli.merge:abort", "End a merge or a split that is not done."),
            "status": ("gateway.cli.merge:status", "One merge with what it changes, or the newest ones."),
            "split": ("gateway.cli.merge:split", "Ask for the way back from a merge that is done."),
        },
    ),
    "readiness": (
        "Whether the slices may go on, and can go back; without a verb, the report.",
        {
            "show": ("gateway.cli.readiness:show", "Each slice with its verdict and what stands against it."),
            "sign": ("gateway.cli.readiness:sign", "Answer for the evidence of one slice."),
        },
    ),
    "waivers": (
        "Differences that are accepted for a time; without a verb, the list.",
        {
            "list": ("gateway.cli.waivers:list_", "Waivers with what each of them covers now."),
            "add": ("gateway.cli.waivers:add", "Accept differences of one field and class of a slice."),
            "revoke": ("gateway.cli.waivers:revoke", "End a waiver now."),
        },
    ),
    "backfill": (
        "What one system of a slice holds, brought into the other.",
        {
            "start": ("gateway.cli.backfill:start", "Bring it, with progress, and verify it."),
            "status": ("gateway.cli.backfill:status", "One backfill, or all of them, the newest first."),
            "records": ("gateway.cli.backfill:records", "What became of each record, with the reason."),
            "pause": ("gateway.cli.backfill:pause", "Let one rest."),
            "resume": ("gateway.cli.backfill:resume", "Let a paused one go on."),
            "cancel": ("gateway.cli.backfill:cancel", "End one early."),
        },
    ),
    "repair": (
        "A mirror repaired from a reconciliation's differences, asked for by one person and approved by another.",
        {
            "plan": ("gateway.cli.repair:plan", "A dry run: what would be written where."),
            "request": ("gateway.cli.repair:request", "Ask for what a dry run has planned."),
            "approve": ("gateway.cli.repair:approve", "Approve what somebody else has asked for, and see it through."),
            "status": ("gateway.cli.repair:status", "One repair, or those from a reconciliation."),
            "records": ("gateway.cli.repair:records", "What is planned for each record, and what became of it."),
            "cancel": ("gateway.cli.repair:cancel", "End one early."),
        },
    ),
    "adapters": (
        "The products that can stand on either side.",
        {
            "list": ("gateway.cli.adapters:list_", "Every profile that ships, with its grade."),
            "check": ("gateway.cli.adapters:check", "Hold one profile against the rules for adapters."),
            "prove": ("gateway.cli.prove:prove", "What survives the way through another product and back."),
        },
    ),
}

#: noun -> the verb that it stands for when none is named
LISTED = {
    "cases": "list",
    "waivers": "list",
    "switch": "status",
    "merge": "status",
    "backfill": "status",
    "readiness": "show",
}

#: name -> (where the function is, what it does)
VERBS: dict[str, tuple[str, str]] = {
    "serve": ("gateway.cli.serve:serve", "API, console and workers in one process."),
    "worker": ("gateway.cli.worker:worker", "The loops alone: deliveries, unknown outcomes, comparisons."),
    "demo": (
        "gateway.cli.demo:demo",
        "Two simulated ERPs, a gateway, live traffic, and a slice moved there and back.",
    ),
    "sandbox": ("gateway.cli.sandbox:sandbox", "The two simulated ERPs alone."),
    "doctor": (
        "gateway.cli.doctor:doctor",
        "Check settings, database, systems and rules, with a remedy for each.",
    ),
    "diffs": ("gateway.cli.diffs:diffs", "What comparing the two systems has found."),
    "replay": ("gateway.cli.replay:replay", "Count dead letters by cause, and send them again."),
    "reconcile": (
        "gateway.cli.reconcile:reconcile",
        "Hold whole sets of both systems against each other, and bridge their totals.",
    ),
    "feeds": (
        "gateway.cli.feeds:feeds",
        "Edits made in the systems themselves, and how far they are carried over.",
    ),
    "journey": ("gateway.cli.journey:journey", "One record's whole way, from the request to both systems."),
}


def application() -> App:
    """The tree. Nothing in it is imported before it is called."""
    app = App(
        name="twinrun",
        help="Runs an old and a new ERP side by side until the new one has earned the switch.",
        version=__version__,
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
    )
    for name, (where, what) in VERBS.items():
        app.command(where, name=name, help=what)
    for noun, (about, verbs) in NOUNS.items():
        group = App(name=noun, help=about)
        for name, (where, what) in verbs.items():
            group.command(where, name=name, help=what)
        app.command(group)
    return app


def run(arguments: Sequence[str]) -> int:
    """Runs one command line; returns its exit code."""
    try:
        result = application()(
            whole(arguments), exit_on_error=False, print_error=False, result_action="return_value"
        )
    except UnknownCommandError as wrong:
        # Its own message would import every command, only to guess what was meant.
        say(
            f"twinrun: there is no command {' '.join(wrong.unused_tokens or arguments)!r}; see `twinrun --help`"
        )
        return codes.WRONG
    except CycloptsError as wrong:
        say(f"twinrun: {codes.told(wrong).rstrip('.')}; see `twinrun --help`")
        return codes.WRONG
    except KeyboardInterrupt:
        say("interrupted")
        return codes.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough, as in `twinrun diffs | head`.
        sys.stderr.close()
        return codes.PASS
    except Exception as raised:
        known = codes.of(raised)
        if known is None:
            raise
        say(f"twinrun: {known.line}")
        return known.code
    return result if isinstance(result, int) else codes.PASS


def whole(arguments: Sequence[str]) -> list[str]:
    """The arguments with the verb that a noun alone, or a noun with options, stands for."""
    noun, *rest = arguments or [""]
    asks = not rest or (rest[0].startswith("-") and rest[0] not in ("--help", "-h", "--version"))
    return [noun, LISTED[noun], *rest] if noun in LISTED and asks else list(arguments)


def main() -> int:
    """The entry point of the installed program."""
    return run(sys.argv[1:])
