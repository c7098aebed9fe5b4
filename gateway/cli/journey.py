"""``twinrun journey``: one record's whole way."""

from __future__ import annotations

from gateway.cli.screen import Json, out, put_json, put_table
from gateway.cli.session import with_gateway

#: Only the first line of an operation repeats what is the operation's.
FIRST = (True, *[False] * 9)


def journey(record_id: str, /, *, json: Json = False) -> None:
    """One record's whole way, from the request to both systems.

    Parameters
    ----------
    record_id:
        The canonical id, such as cus_0190…
    """
    told = with_gateway(lambda gateway: gateway.journey.of(record_id))
    if json:
        put_json(told)
        return
    record = told["record"]
    refs = (
        ", ".join(f"{system} {native}" for system, native in sorted(told["refs"].items()))
        or "in no system yet"
    )
    out().print(
        f"{record['entity']} {record['id']} in {record['region']}, version {record['version']}; {refs}",
        markup=False,
    )
    put_table(
        ("operation", "kind", "stage", "state", "system", "role", "delivery", "attempts", "said"),
        [
            (
                operation["id"] if first else "", operation["kind"] if first else "",
                operation["stage"] if first else "", operation["state"] if first else "",
                line["system"], line["role"], line["state"], line["attempt"], line["message"] or line["code"],
            )
            for operation in reversed(told["operations"])
            for first, line in zip(FIRST, operation["deliveries"], strict=False)
        ],
        title="\nWrites",
    )  # fmt: skip
    put_table(
        ("at", "event", "system", "detail"),
        [(event["at"], event["event"], event.get("system"), event.get("detail")) for event in told["events"]],
        title="\nEvents",
    )
    if told["diffs"]:
        put_table(
            ("found at", "verdict", "id", "resolved at"),
            [(diff["at"], diff["verdict"], diff["id"], diff["resolved_at"]) for diff in told["diffs"]],
            title="\nComparisons",
        )
