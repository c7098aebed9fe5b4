"""What a migration has left behind in both ERPs, by their own account and by the journal's."""

from __future__ import annotations

from gateway.canonical import BY_NAME
from tests.integration.ledger import history
from tests.journeys.migration import Migration
from tests.journeys.upstream import NOTED, Upstream
from tests.systems.sandbox import SYSTEMS, Sandbox


def nothing_lost_or_doubled(migration: Migration, upstream: Upstream, firm: Sandbox) -> None:
    """By the effect logs of both ERPs: each delivery that was applied has its effect once and no other has one, in the
    order of its record; one system led in each epoch of a slice; and each record reads as it was last written."""
    effects = {
        system: [one for one in firm.effects(system, limit=1_000_000) if one["action"] != "direct_edit"]
        for system in SYSTEMS
    }
    lines = migration.lines(list(upstream.owned))
    assert history.faults([line for every in lines.values() for line in every], effects) == []
    for entity, every in lines.items():
        assert history.epoch_faults(every, effects) == [], entity
        assert {line.system for line in every if line.role == "authority"} == set(SYSTEMS), entity
    known = {line.operation for every in lines.values() for line in every}
    assert upstream.writes.keys() <= known, "an operation that a caller was told of is in no journey"
    for record, value in upstream.noted.items():
        entity = upstream.owned[record]
        answer = migration.call("GET", f"/v1/{BY_NAME[entity].collection}/{record}")
        assert (answer.headers["Twinrun-Answered-By"], answer.json()[NOTED[entity][0]]) == ("cloud", value)
