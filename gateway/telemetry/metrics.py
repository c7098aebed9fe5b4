"""The figures of one process, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

#: Seconds; from a local answer to a slow ERP.
TIMES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The figures of one process, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "twinrun_requests",
            "Requests by route and status",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.request_s = Histogram(
            "twinrun_request_seconds",
            "Time to answer",
            ["route", "method"],
            buckets=TIMES,
            registry=self.registry,
        )
        self.deliveries = Counter(
            "twinrun_deliveries",
            "What came of sends",
            ["entity", "system", "role", "event"],
            registry=self.registry,
        )
        self.rules_age = Gauge(
            "twinrun_rules_age_seconds", "Age of the copied routing rules", registry=self.registry
        )
        self.cases_open = Gauge(
            "twinrun_cases_open",
            "Cases that wait for a person, as last counted",
            ["kind"],
            registry=self.registry,
        )
        self.invariant_violations = Counter(
            "twinrun_invariant_violations",
            "Records that were found to break a law of the journal, each counted when it is first seen; must stay 0",
            ["invariant"],
            registry=self.registry,
        )
        self.invariant_broken = Gauge(
            "twinrun_invariant_broken",
            "Records that break a law of the journal now, as last looked at; at most 1000 are counted",
            ["invariant"],
            registry=self.registry,
        )
        self.deliveries_open = Gauge(
            "twinrun_deliveries_open",
            "Deliveries that have something left to do, as last counted",
            ["system", "state"],
            registry=self.registry,
        )
        self.delivery_oldest_s = Gauge(
            "twinrun_delivery_oldest_age_seconds",
            "Age of the oldest delivery under way, those that wait for a person left out",
            ["system"],
            registry=self.registry,
        )
        self.comparisons_waiting = Gauge(
            "twinrun_comparisons_waiting",
            "Records whose two sides are still to be compared, or to be looked at again, as last counted",
            registry=self.registry,
        )
        self.feed_lag_s = Gauge(
            "twinrun_feed_lag_seconds",
            "Time since which nothing is known of a system's own edits, the worst of its regions; as last counted",
            ["system", "entity"],
            registry=self.registry,
        )
        self.feed_edits = Gauge(
            "twinrun_feed_edits",
            "Edits made in a system itself since its feeds began, by what became of them; as last counted",
            ["system", "outcome"],
            registry=self.registry,
        )
        self.purged = Counter(
            "twinrun_purged_rows",
            "Rows deleted because their time was over",
            ["table"],
            registry=self.registry,
        )
