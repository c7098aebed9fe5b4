"""Counts in memory between two commits. Every comparison is counted; only samples are ever left out."""

from __future__ import annotations

from collections import Counter

from gateway.compare.difference import WHOLE_RECORD
from gateway.compare.observation import Result
from gateway.compare.verdict import Verdict

#: Class and verdict under which a field is counted that held something and that nobody looked at.
NOT_COMPARED = "not_compared"

SliceDay = tuple[str, str, str]  # day, entity, region
FieldKey = tuple[str, str, str, str, str, str]  # day, entity, region, field, class, verdict


class Tally:
    """What has been counted and not yet written."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str, str, str]] = Counter()
        self.fields: Counter[FieldKey] = Counter()
        #: Records that a read found in order, when, and with which verdict: what was open about them is over.
        self.agreed: dict[str, tuple[int, Verdict]] = {}

    def __bool__(self) -> bool:
        return bool(self.outcomes or self.fields or self.agreed)

    def outcome(self, slice_day: SliceDay, outcome: str, count: int = 1) -> None:
        self.outcomes[*slice_day, outcome] += count

    def not_compared(self, slice_day: SliceDay, fields: tuple[str, ...]) -> None:
        for field in fields:
            self.fields[*slice_day, field, NOT_COMPARED, NOT_COMPARED] += 1

    def result(self, result: Result) -> None:
        day = result.day, result.entity, result.region
        self.outcome(day, result.verdict)
        self.not_compared(day, result.not_compared)
        for key in field_keys(result):
            self.fields[key] += 1

    def add(self, other: Tally) -> None:
        self.outcomes.update(other.outcomes)
        self.fields.update(other.fields)
        for record_id, agreed in other.agreed.items():
            self.agreed[record_id] = max(agreed, self.agreed.get(record_id, agreed))


def field_keys(result: Result) -> list[FieldKey]:
    """Under which fields and classes ``result`` counts: each once, however many rows of it part."""
    keys: dict[FieldKey, None] = {}
    for sample in result.samples:
        verdict = result.verdict if sample.explained is None else "explained"
        keys[result.day, result.entity, result.region, sample.field, sample.kind, verdict] = None
    if result.why is not None:
        keys[result.day, result.entity, result.region, WHOLE_RECORD, result.why, result.verdict] = None
    return list(keys)
