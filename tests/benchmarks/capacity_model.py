"""What a set of machines carries, from what one write costs. Pure.

A *write* is durable and dual: answered, applied by both ERPs. Each resource gives a ceiling in writes a second; the
lowest rules. A gateway process uses one core at most, for it is one loop. The costs are taken as constant, which they
are not: a starved process, or a second one, has fewer writes in a commit and its loops turn for fewer writes, so each
costs more. On two crowded cores that made the prediction for two processes 78 % too high; a projection is an
upper bound.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

CONNECTIONS = 8  #: that one process holds at most, see ``gateway/database/engine.py``
KEPT_BACK = 3  #: connections that PostgreSQL keeps for its superuser


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Of one write."""

    gateway_us: float  #: CPU of a gateway process
    postgresql_us: float  #: CPU of all of PostgreSQL
    beside_us: float = 0.0  #: CPU of what else shares the gateway's machine: here the ERPs and the callers
    wal_bytes: float
    syncs: float  #: of the write-ahead log; below one where writes share commits


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to spend."""

    processes: int
    gateway_cores: float  #: of all machines that gateways run on
    postgresql_cores: float | None = None  #: of a machine of its own; None: it shares the gateways' cores
    wal_bytes_per_s: float
    syncs_per_s: float
    callers: int | None = None  #: that wait for an answer before they ask again; None: as many as it takes
    erp_s: float = 0.0  #: that the authority takes for a write
    connections: int = 100  #: ``max_connections``


def ceilings(costs: Costs, place: Place) -> Mapping[str, float]:
    """Resource -> writes a second that it bears. Raises ValueError if the processes need more connections than there
    are."""
    if place.processes * CONNECTIONS > place.connections - KEPT_BACK:
        raise ValueError(
            f"{place.processes} processes hold {place.processes * CONNECTIONS} connections; "
            f"raise max_connections of PostgreSQL, which is {place.connections}"
        )
    shared = costs.gateway_us + costs.beside_us
    if place.postgresql_cores is None:
        shared += costs.postgresql_us
    found = {
        "gateway processes": place.processes * 1e6 / costs.gateway_us,
        "cores of the gateways' machines": place.gateway_cores * 1e6 / shared,
        "disk: bytes of the log": place.wal_bytes_per_s / costs.wal_bytes,
        "disk: syncs of the log": place.syncs_per_s / costs.syncs,
    }
    if place.postgresql_cores is not None:
        found["cores of PostgreSQL"] = place.postgresql_cores * 1e6 / costs.postgresql_us
    if place.callers is not None and place.erp_s > 0:
        found["callers that wait"] = place.callers / place.erp_s
    return found


def ruling(costs: Costs, place: Place) -> tuple[float, str]:
    """Writes a second, and the resource that ends first."""
    found = ceilings(costs, place)
    name = min(found, key=lambda one: found[one])
    return found[name], name


def of_one_record(erp_s: float, commit_s: float) -> float:
    """Writes a second of one record: its lane lets one call to the authority at a time, between two commits."""
    return 1 / (erp_s + 2 * commit_s)


def spread(
    each: float, shares: Mapping[str, float], databases: int
) -> tuple[float, tuple[tuple[str, ...], ...]]:
    """Writes a second of several deployments that bear ``each``, and the regions of each. A region is not divided,
    since its records refer to each other; the largest is placed first, where there is least. Shares are of
    all writes."""
    if databases < 1 or each <= 0 or not shares or min(shares.values()) <= 0:
        raise ValueError("at least one database, a positive rate, and regions with positive shares")
    held: list[list[str]] = [[] for _ in range(databases)]
    load = [0.0] * databases
    for region in sorted(shares, key=lambda one: (-shares[one], one)):
        least = load.index(min(load))
        held[least].append(region)
        load[least] += shares[region]
    return each * sum(shares.values()) / max(load), tuple(tuple(one) for one in held)
