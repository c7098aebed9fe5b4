"""``twinrun diffs``: what comparing the two systems has found."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.app import Gateway
from gateway.canonical import BY_NAME
from gateway.cli import codes
from gateway.cli.given import micros, one_of
from gateway.cli.screen import Json, out, put_json, put_table, say
from gateway.cli.session import with_gateway
from gateway.compare.observation import Diff, SliceSummary
from gateway.compare.verdict import Verdict
from gateway.errors import Malformed
from gateway.http.admin.diffs import shown


def diffs(
    *,
    entity: str | None = None,
    region: str | None = None,
    verdict: str | None = None,
    field: str | None = None,
    record: str | None = None,
    since: str | None = None,
    limit: int = 20,
    json: Json = False,
) -> int:
    """What comparing the two systems has found: verdicts by slice, and the newest findings.

    Exit code 0: nothing differs now. 1: records differ. 3: nothing was compared, so nobody can say.

    Parameters
    ----------
    entity:
        Only this entity.
    region:
        Only this region.
    verdict:
        match, explained, late, mismatch or unverifiable. Default: mismatch and unverifiable.
    field:
        Only where this field differs, such as lines[].amount.
    record:
        Only this record.
    since:
        Only what was found at or after this moment: RFC 3339 or a day.
    limit:
        How many findings are listed.
    """
    one_of("--entity", entity, tuple(BY_NAME))
    one_of("--verdict", verdict, tuple(one.value for one in Verdict))
    if not 1 <= limit <= 10_000:
        raise Malformed(f"--limit {limit}; allowed is 1 to 10000")
    moment = micros("--since", since)

    async def work(gateway: Gateway) -> tuple[Sequence[SliceSummary], list[Diff]]:
        one_of("--region", region, gateway.slices.places())
        summary = await gateway.diffs.summary(entity=entity, region=region, regions=None, since=moment)
        found: list[Diff] = []
        for wanted in [verdict] if verdict else [Verdict.MISMATCH.value, Verdict.UNVERIFIABLE.value]:
            found += await gateway.diffs.page(
                entity=entity,
                region=region,
                verdict=wanted,
                field=field,
                record_id=record,
                since=moment,
                limit=limit,
            )
        found.sort(key=lambda one: one.last_at, reverse=True)
        return summary, found[:limit]

    summary, found = with_gateway(work)
    if json:
        put_json({"summary": summary, "items": [shown(one) for one in found]})
    else:
        _print(summary, found)
    if any(one.open_mismatches for one in summary):
        return codes.DIFFER
    return codes.PASS if any(one.compares for one in summary) else codes.UNSURE


def _print(summary: Sequence[SliceSummary], found: Sequence[Diff]) -> None:
    if not summary:
        say(
            "Nothing was compared yet. Reads are compared in shadow and live, writes wherever there is a mirror."
        )
        return
    put_table(
        (
            "entity",
            "region",
            "compares",
            "match",
            "explained",
            "late",
            "mismatch",
            "unverifiable",
            "differ now",
        ),
        [
            (
                one.entity,
                one.region,
                one.compares,
                *(one.verdicts[word] for word in Verdict),
                one.open_mismatches,
            )
            for one in summary
        ],
        right=("compares", "match", "explained", "late", "mismatch", "unverifiable", "differ now"),
    )
    fields = [(one, field) for one in summary for field in one.fields if field.verdict == Verdict.MISMATCH]
    if fields:
        put_table(
            ("entity", "region", "field", "class", "count", "money at stake"),
            [
                (
                    one.entity, one.region, field.field or "(record)", field.kind, field.count,
                    ", ".join(f"{amount} {currency}" for currency, amount in sorted(field.money.items())) or None,
                )
                for one, field in fields
            ],
            title="\nFields that differ",
            right=("count", "money at stake"),
        )  # fmt: skip
    if found:
        put_table(
            ("verdict", "record", "field", "class", "authority", "other", "resolved"),
            [
                (
                    one.verdict.value if first else "", one.record_id if first else "", sample.path or "(record)",
                    sample.kind.value, sample.authority, sample.other, one.resolved_at is not None,
                )
                for one in found
                for first, sample in zip([True, *[False] * len(one.differences)], one.differences, strict=False)
            ],
            title="\nNewest findings",
        )  # fmt: skip
    else:
        out().print("\nNo finding fits.", markup=False)
