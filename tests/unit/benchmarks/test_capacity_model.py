"""The laws of the capacity model: the scarcest resource rules, and more of anything never carries less."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.capacity_model import Costs, Place, ceilings, of_one_record, ruling, spread

COSTS = Costs(gateway_us=2_000, postgresql_us=500, beside_us=500, wal_bytes=10_000, syncs=0.1)
PLACE = Place(
    processes=2, gateway_cores=100, postgresql_cores=100, wal_bytes_per_s=1e9, syncs_per_s=1e6, callers=10_000,
    erp_s=0.02,
)  # fmt: skip
SPENT = ("gateway_us", "postgresql_us", "beside_us", "wal_bytes", "syncs")
HAD = ("processes", "gateway_cores", "postgresql_cores", "wal_bytes_per_s", "syncs_per_s", "callers")


@pytest.mark.parametrize(
    ("scarce", "rate", "why"),
    [
        pytest.param({}, 1_000, "gateway processes", id="two loops of 2 ms a write"),
        pytest.param({"gateway_cores": 1}, 400, "cores of the gateways' machines", id="2.5 ms on one core"),
        pytest.param(
            {"gateway_cores": 1.2, "postgresql_cores": None}, 400, "cores of the gateways' machines",
            id="3 ms on 1.2 cores",
        ),
        pytest.param({"postgresql_cores": 0.1}, 200, "cores of PostgreSQL", id="0.5 ms on a tenth of a core"),
        pytest.param({"wal_bytes_per_s": 1e6}, 100, "disk: bytes of the log", id="10 kB of 1 MB/s"),
        pytest.param({"syncs_per_s": 5}, 50, "disk: syncs of the log", id="ten writes a sync"),
        pytest.param({"callers": 16}, 800, "callers that wait", id="each waits 20 ms"),
    ],
)  # fmt: skip
def test_the_scarcest_resource_rules(scarce: dict[str, float | None], rate: float, why: str) -> None:
    """Microseconds, bytes and syncs become writes a second, and the lowest of them is the answer with its name."""
    found = ruling(COSTS, msgspec.structs.replace(PLACE, **scarce))
    assert found == (pytest.approx(rate), why)


@given(st.sampled_from(SPENT), st.floats(1.0, 100.0))
def test_a_dearer_write_never_carries_more(name: str, times: float) -> None:
    """Monotone in each cost."""
    dearer = msgspec.structs.replace(COSTS, **{name: getattr(COSTS, name) * times})
    assert ruling(dearer, PLACE)[0] <= ruling(COSTS, PLACE)[0]


@given(st.sampled_from(HAD), st.integers(1, 5))
def test_more_of_anything_never_carries_less(name: str, times: int) -> None:
    """Monotone in each resource."""
    more = msgspec.structs.replace(PLACE, **{name: getattr(PLACE, name) * times})
    assert ruling(COSTS, more)[0] >= ruling(COSTS, PLACE)[0]


@given(st.integers(1, 12))
def test_a_machine_for_postgresql_never_carries_less(processes: int) -> None:
    """Cores of its own take the work off the gateways' machine, if they are as many."""
    shared = msgspec.structs.replace(PLACE, processes=processes, gateway_cores=8, postgresql_cores=None)
    apart = msgspec.structs.replace(shared, postgresql_cores=8)
    assert ruling(COSTS, apart)[0] >= ruling(COSTS, shared)[0]
    assert "cores of PostgreSQL" not in ceilings(COSTS, shared)


def test_processes_that_cannot_all_connect_are_no_answer() -> None:
    """Twelve processes fit into PostgreSQL's default of 100 connections, thirteen are refused with the remedy."""
    ceilings(COSTS, msgspec.structs.replace(PLACE, processes=12))
    with pytest.raises(ValueError, match="max_connections"):
        ceilings(COSTS, msgspec.structs.replace(PLACE, processes=13))


def test_one_record_waits_for_its_own_lane() -> None:
    """A call of 20 ms between two commits of 5 ms lets 33 writes a second of one record through."""
    assert of_one_record(0.02, 0.005) == pytest.approx(33.33, rel=1e-3)


def test_a_region_is_not_divided() -> None:
    """The largest region is the end of its database, however many there are."""
    shares = {"a": 0.5, "b": 0.3, "c": 0.2}
    assert spread(1_000, shares, 1) == (pytest.approx(1_000), (("a", "b", "c"),))
    assert spread(1_000, shares, 2) == (pytest.approx(2_000), (("a",), ("b", "c")))
    assert spread(1_000, shares, 9)[0] == pytest.approx(2_000)


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0.01, 1), min_size=1), st.integers(1, 8))
def test_every_region_has_one_database(shares: dict[str, float], databases: int) -> None:
    """None is lost, none is in two, and several carry between once and as many times as they are."""
    rate, regions = spread(100, shares, databases)
    assert sorted(region for one in regions for region in one) == sorted(shares)
    assert 100 * (1 - 1e-9) <= rate <= 100 * databases * (1 + 1e-9)
