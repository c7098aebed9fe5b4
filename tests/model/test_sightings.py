"""A record that a create on its way has just made is not taken for one that somebody has made by hand."""

from __future__ import annotations

from gateway.dispatch.sightings import Sighting, adopt
from gateway.routing.stage import Stage
from tests.model.machine import How, Ledger
from tests.simulation.scenario import LEGAL_ENTITY, REGION

#: It shows nothing of ours by which a record could be known.
SILENT = {
    "kind": "E", "conditional": False, "unique_numbers": False, "numbers": False, "answers_record": False,
}  # fmt: skip
AT_ONCE = How(client="erp", keyed=True, wait_s=2.0, takes_s=0.0, times=1, patience_s=None, meets=None)


def _seen(
    history: Ledger, name: str | None, *, number: str | None = None
) -> dict[tuple[str, str, str], str]:
    """What a look at the newest customer of the legacy system, with this name, makes of it. Without a name nothing of
    it is to be kept but its number."""
    native = history.world.effects[-1].native_id
    image = {} if name is None else {"name": name, "legal_entity": LEGAL_ENTITY, "state": "prospect"}
    sighting = Sighting(
        system="legacy", entity="customer", region=REGION, legal_entity=LEGAL_ENTITY, native_id=native,
        native_version="1", external_id=None, match_key=number, image=image,
    )  # fmt: skip
    minted = ["cus_minted"]
    found = history.world.store.run(lambda conn: adopt(conn, [sighting], minted, history.world.store.now()))
    return {native: holder.record_id for native, holder in found.items()}


def _begun(number: int | None = None) -> tuple[Ledger, str]:
    """A history in which the legacy system has just made a customer, and nobody has heard of it yet."""
    history = Ledger()
    history.begin(
        seed=1, legacy=SILENT, cloud=SILENT, stages=(Stage.LEGACY_ONLY,) * 3, storable=True, alone=True, eager=True,
        customers=1, closely=False,
    )  # fmt: skip
    there = len(history.world.effects)
    history.create_customer(AT_ONCE, number, None)
    while len(history.world.effects) == there:
        history.world.tick(0.0005)
    wish = list(history.streams.wishes.values())[-1]
    return history, str(wish.command.body["name"])


def test_what_a_create_is_just_making_is_left_to_it() -> None:
    """Else its own answer would meet a link that is another record's, and be refused although it took effect."""
    history, name = _begun()
    try:
        assert _seen(history, name) == {}
        history.world.tick(1.0)
        (record,) = _seen(history, name).values()
        assert record in history.world.shared.records
    finally:
        history.teardown()


def test_another_record_is_taken_in_meanwhile() -> None:
    """What says that it is something else does not wait for a create that is on its way."""
    history, _ = _begun()
    try:
        native = history.world.erps["legacy"].enter("customer", {"name": "by hand", "legal_entity": LEGAL_ENTITY})
        assert _seen(history, "by hand") == {("legacy", "customer", native): "cus_minted"}
    finally:
        history.streams.edited = True
        history.teardown()


def test_a_number_alone_tells_it_apart() -> None:
    """Where a look keeps nothing of what it sees but the number, another number is another record, and the same one, or
    none, may be what is being made."""
    history, _ = _begun(1)
    try:
        assert _seen(history, None, number="N1") == _seen(history, None) == {}
        history.world.erps["legacy"].enter("customer", {"number": "N7", "legal_entity": LEGAL_ENTITY})
        assert list(_seen(history, None, number="N7").values()) == ["cus_minted"]
    finally:
        history.streams.edited = True
        history.teardown()
