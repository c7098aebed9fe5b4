"""``twinrun rules cohorts`` and ``assign``: the parts of a region that are routed on their own, and who is in them."""

from __future__ import annotations

from gateway.app import Gateway
from gateway.cli.screen import Json, put_json, put_table, say
from gateway.cli.session import actor, with_gateway
from gateway.cohorts import Assigned
from gateway.cohorts.assigning import Standing
from gateway.errors import Malformed


def cohorts(*, json: Json = False) -> None:
    """Every cohort, which new roots begin in it, and how many are in it."""

    async def work(gateway: Gateway) -> tuple[Standing, ...]:
        return await gateway.assigning.standing()

    found = with_gateway(work)
    if json:
        put_json({"items": found, "next_cursor": None})
        return
    if not found:
        say("There is no cohort: cohorts.toml in the rules folder would name them.")
        return
    put_table(
        ("cohort", "root", "numbers", "legal entities", "percent", "roots in it", "note"),
        [
            (
                one.place, one.root, ", ".join(one.numbers), ", ".join(one.legal_entities), one.percent, one.roots,
                one.note,
            )
            for one in found
        ],
        right=("percent", "roots in it"),
    )  # fmt: skip


def assign(
    place: str,
    /,
    *,
    projects: list[str] | None = None,
    customers: list[str] | None = None,
    reason: str,
    json: Json = False,
) -> None:
    """Bring customers or projects that are there already into a cohort, with all that hangs on them.

    Allowed while the slices of the cohort and of its region are at the same stages, and nothing is open for any of
    these records. Nothing is sent to any system.

    Parameters
    ----------
    place:
        The cohort, as region.name, such as EMEA.wave1.
    projects:
        Ids of projects, by commas or repeated, where the cohort is of projects.
    customers:
        Ids of customers, where the cohort is of customers.
    reason:
        Why; it stands in the audit.
    """
    given = {"project": _ids(projects), "customer": _ids(customers)}

    async def work(gateway: Gateway) -> Assigned:
        root = gateway.assigning.cohort(place).root
        wrong = next((name for name, ids in given.items() if ids and name != root), None)
        if wrong is not None or not given[root]:
            raise Malformed(f"{place} is of {root}s: name them with --{root}s")
        return await gateway.assigning.assign(place, given[root], actor=actor(), reason=reason)

    done = with_gateway(work)
    if json:
        put_json(done)
        return
    what = ", ".join(f"{count} {entity}" for entity, count in done.records.items()) or "nothing new"
    say(f"{what} came into {done.place}")
    if done.unseen:
        say(f"whether {done.unseen} records hang on these is not known: the journal has no document of them")


def _ids(given: list[str] | None) -> tuple[str, ...]:
    parts = [part.strip() for text in given or () for part in text.split(",")]
    return tuple(dict.fromkeys(part for part in parts if part))
