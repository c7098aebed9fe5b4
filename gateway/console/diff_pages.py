"""The differences page, one difference in full, and the table as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Stream

from gateway import spreadsheet
from gateway.access import Caller
from gateway.clock import Clock
from gateway.compare import Diff, SliceSummary, Verdict
from gateway.console.diff_view import side_by_side, spell, tree
from gateway.console.download import attached
from gateway.console.guard import AnyRequest, Guard
from gateway.console.narrowing import Narrowing
from gateway.console.respond import Respond
from gateway.database import from_micros, to_micros
from gateway.errors import NotFoundHere
from gateway.ports import DiffsPort, SlicesPort

PAGE = 20
#: Findings in one CSV; the newest ones. A spreadsheet with more is read by nobody.
MOST_ROWS = 5000
AGES: Mapping[str, timedelta] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}

COLUMNS = (
    "diff", "record", "entity", "region", "verdict", "stage", "path", "field", "class", "authority", "other",
    "authority_value", "other_value", "stake_amount", "stake_currency", "explained", "first_seen",
    "last_seen", "times", "resolved_at",
)  # fmt: skip


class Filter(Narrowing, frozen=True, kw_only=True, omit_defaults=True):
    PATH = "/console/diffs"

    entity: str = ""
    region: str = ""
    verdict: str = ""
    field: str = ""
    since: str = ""
    state: str = ""  #: open (the default), ended, all
    noise: str = ""  #: hidden: without what is explained
    record: str = ""


class Total(msgspec.Struct, frozen=True, kw_only=True):
    compares: int
    verdicts: Mapping[str, int]
    not_compared: tuple[str, ...]  #: fields that hold something and that no policy names
    open: int
    consistency: int  #: comparisons that agree in the end
    explained: int  #: places that part with a reason, of which a switch shows the page without


class DiffPages:
    def __init__(
        self,
        *,
        guard: Guard,
        respond: Respond,
        diffs: DiffsPort,
        slices: SlicesPort,
        clock: Clock,
        entities: Sequence[str],
    ) -> None:
        self._guard = guard
        self._respond = respond
        self._diffs = diffs
        self._slices = slices
        self._clock = clock
        self._entities = tuple(entities)

    def handlers(self) -> list[HTTPRouteHandler]:
        @get("/diffs", include_in_schema=False)
        async def page(request: AnyRequest) -> Response[str]:
            person = await self._guard.enter(request)
            narrowed = _filter(request)
            caller = person.caller
            found, more = await self._page(caller, narrowed, request.query_params.get("after"))
            summary = await self._summary(caller, narrowed)
            slices = [one for one in await self._slices.all() if caller.sees(one.entity, one.region)]
            present = {one.entity for one in slices}
            return self._respond.page(
                request,
                person,
                "diffs.html",
                f=narrowed,
                total=_total(summary),
                tree=tree(summary, verdict=narrowed.verdict or None, explained=not narrowed.noise),
                found=found,
                more=more,
                side_by_side=side_by_side,
                verdicts=[verdict.value for verdict in Verdict],
                ages=list(AGES),
                entities=[entity for entity in self._entities if entity in present],
                regions=sorted({one.region for one in slices}),
                comparing=any(
                    one.compare_sample and one.stage in ("shadow", "live", "dual_write", "ramp_down")
                    for one in slices
                ),
                most_rows=MOST_ROWS,
            )

        @get("/diffs.csv", include_in_schema=False)
        async def table(request: AnyRequest) -> Stream:
            person = await self._guard.enter(request)
            return Stream(
                self._lines(person.caller, _filter(request)),
                media_type="text/csv",
                headers=attached("differences", self._clock.now()),
            )

        @get("/diffs/{diff_id:str}", include_in_schema=False)
        async def one(request: AnyRequest, diff_id: FromPath[str]) -> Response[str]:
            person = await self._guard.enter(request)
            found = await self._diffs.one(diff_id)
            if found is None or not person.caller.sees(found.entity, found.region):
                raise NotFoundHere(f"no difference has the id {diff_id[:60]!r}")
            others = await self._diffs.page(record_id=found.record_id, limit=10)
            return self._respond.page(
                request,
                person,
                "diff.html",
                d=found,
                others=[other for other in others if other.id != found.id],
                side_by_side=side_by_side,
            )

        return [page, table, one]

    async def _page(
        self, caller: Caller, narrowed: Filter, after: str | None, limit: int = PAGE
    ) -> tuple[list[Diff], str | None]:
        """A page of findings, and the id to go on from. A key that is bound to entities gets pages of only
        these."""
        found: list[Diff] = []
        while True:
            rows = await self._diffs.page(
                entity=narrowed.entity or None,
                region=narrowed.region or None,
                regions=caller.regions,
                verdict=narrowed.verdict or None,
                field=narrowed.field or None,
                record_id=narrowed.record or None,
                since=self._since(narrowed),
                resolved={"": False, "open": False, "ended": True}.get(narrowed.state),
                after=after,
                limit=limit,
            )
            for row in rows:
                after = row.id
                hidden = narrowed.noise and row.verdict is Verdict.EXPLAINED
                if caller.sees_entity(row.entity) and not hidden:
                    found.append(row)
                    if len(found) == limit:
                        return found, after
            if len(rows) < limit:
                return found, None

    async def _summary(self, caller: Caller, narrowed: Filter) -> list[SliceSummary]:
        found = await self._diffs.summary(
            entity=narrowed.entity or None,
            region=narrowed.region or None,
            regions=caller.regions,
            since=self._since(narrowed),
        )
        return [one for one in found if caller.sees_entity(one.entity)]

    def _since(self, narrowed: Filter) -> int | None:
        if not narrowed.since:
            return None
        age = AGES.get(narrowed.since)
        if age is not None:
            return to_micros(self._clock.now() - age)
        at = datetime.fromisoformat(narrowed.since)
        return to_micros(at if at.tzinfo else at.replace(tzinfo=UTC))

    async def _lines(self, caller: Caller, narrowed: Filter) -> AsyncIterator[str]:
        yield spreadsheet.line(COLUMNS)
        after: str | None = None
        told = 0
        while told < MOST_ROWS:
            found, after = await self._page(caller, narrowed, after, limit=200)
            for diff in found:
                for row in _rows(diff):
                    yield spreadsheet.line(row)
            told += len(found)
            if after is None:
                return


def _filter(request: AnyRequest) -> Filter:
    """The filters of the address. What it does not know is left out, so that an old link still opens a
    page."""
    given = Filter.given(request.query_params)
    if given.get("verdict") not in list(Verdict):
        given.pop("verdict", None)
    if given.get("state") not in ("ended", "all"):
        given.pop("state", None)
    if given.get("noise") != "hidden" or given.get("verdict") == Verdict.EXPLAINED:
        given.pop("noise", None)
    if given.get("since") and given["since"] not in AGES:
        try:
            datetime.fromisoformat(given["since"])
        except ValueError:
            del given["since"]
    return Filter(**given)


def _total(summary: Sequence[SliceSummary]) -> Total:
    verdicts = {verdict.value: sum(one.verdicts.get(verdict, 0) for one in summary) for verdict in Verdict}
    return Total(
        compares=sum(one.compares for one in summary),
        verdicts=verdicts,
        not_compared=tuple(
            sorted(
                {field.field for one in summary for field in one.fields if field.verdict == "not_compared"}
            )
        ),
        open=sum(one.open_mismatches for one in summary),
        consistency=sum(verdicts[verdict] for verdict in (Verdict.MATCH, Verdict.EXPLAINED, Verdict.LATE)),
        explained=sum(field.count for one in summary for field in one.fields if field.verdict == Verdict.EXPLAINED),
    )


def _rows(diff: Diff) -> list[tuple[str, ...]]:
    ends = "" if diff.resolved_at is None else from_micros(diff.resolved_at).isoformat()
    seen = from_micros(diff.at).isoformat(), from_micros(diff.last_at).isoformat(), str(diff.times), ends
    head = diff.id, diff.record_id, diff.entity, diff.region, diff.verdict.value, diff.stage
    if not diff.differences:
        return [(*head, "", "", diff.why or "", diff.authority, diff.other, "", "", "", "", "", *seen)]
    return [
        (
            *head,
            found.path,
            found.field,
            found.kind.value,
            diff.authority,
            diff.other,
            "" if found.authority is None else spell(found.authority),
            "" if found.other is None else spell(found.other),
            "" if found.stake is None else str(found.stake.amount),
            "" if found.stake is None else found.stake.currency,
            found.explained or "",
            *seen,
        )
        for found in diff.differences
    ]
