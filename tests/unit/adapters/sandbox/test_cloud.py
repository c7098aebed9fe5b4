"""The cloud wire: OData manners, conditional writes, upsert, batch."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from lxml import etree

from tests.unit.adapters.sandbox.dialects import Cloud, first_key


async def test_a_record_carries_what_odata_says(cloud: Cloud) -> None:
    """Context, ETag in header and body, key, stamps; nulls and empty lists are there."""
    reply = await cloud.create("project", _project(cloud), marker="op_1")
    record = reply.json()
    assert reply.status_code == 201
    assert reply.headers["location"] == f"/odata/v4/Projects('{record['ProjectNo']}')"
    assert reply.headers["etag"] == record["@odata.etag"] == 'W/"1"'
    assert record["@odata.context"] == "$metadata#Projects/$entity"
    assert (record["Status"], record["Tasks"], record["EndDate"], record["LastOperation"]) == (
        "Draft",
        [],
        None,
        "op_1",
    )


async def test_decimals_are_numbers_or_strings_as_asked(cloud: Cloud) -> None:
    """Exact either way: JSON numbers by default, strings for IEEE754Compatible, both taken in a body."""
    for given in ("9999999999.99", 9999999999.99, 12, "0.01"):
        key = (await cloud.create("contract", _contract(cloud) | {"ContractValue": given})).json()[
            "ContractNo"
        ]
        plain = await cloud.fetch("contract", key)
        text = f"{float(given):.2f}"
        assert f'"ContractValue":{text},' in plain.text
        strings = await cloud.http.get(
            f"/odata/v4/Contracts('{key}')", headers={"Accept": "application/json;IEEE754Compatible=true"}
        )
        assert strings.json()["ContractValue"] == text


async def test_losses_are_silent_and_money_is_not_lost(cloud: Cloud) -> None:
    """Names end at 120 characters, quantities at four decimals; money with more than three is refused."""
    fields = _project(cloud) | {"Name": "n" * 200, "BudgetHours": "1.00005"}
    record = (await cloud.create("project", fields)).json()
    assert (len(record["Name"]), record["BudgetHours"]) == (120, 1.0001)
    refused = await cloud.create("project", _project(cloud) | {"BudgetAmount": "1.2345"})
    assert cloud.problem(refused) == (400, "InvalidValue", "BudgetAmount")


async def test_upsert_creates_then_updates(cloud: Cloud) -> None:
    """The external id decides: the first PATCH creates, the next changes the same record."""
    first = await cloud.upsert("customer", "cus_1", {"Name": "A"}, marker="op_1")
    second = await cloud.upsert("customer", "cus_1", {"Name": "B"}, marker="op_2")
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["CustomerNo"] == second.json()["CustomerNo"]
    assert (second.json()["ExternalId"], second.json()["Name"]) == ("cus_1", "B")


async def test_a_repeated_upsert_has_no_effect(cloud: Cloud) -> None:
    """The same request again answers the same and leaves no trace, however often it comes."""
    body: dict[str, Any] = {"Name": "A", "BillingAddress": {"City": "Ulm"}, "CreditLimit": 10.5}
    first = await cloud.upsert("customer", "cus_1", body, marker="op_1")
    for _ in range(3):
        again = await cloud.upsert("customer", "cus_1", body, marker="op_1")
        assert (again.status_code, again.json()) == (200, first.json())
    assert [effect["action"] for effect in await cloud.effects()] == ["create"]


@pytest.mark.parametrize(
    ("headers", "exists", "status"),
    [
        pytest.param({"If_Match": "*"}, False, 412, id="update only, not there"),
        pytest.param({"If_Match": "*"}, True, 200, id="update only, there"),
        pytest.param({"If_None_Match": "*"}, False, 201, id="create only, not there"),
        pytest.param({"If_None_Match": "*"}, True, 412, id="create only, there"),
        pytest.param({"If_Match": 'W/"7"'}, True, 412, id="stale"),
    ],
)
async def test_conditional_upsert(cloud: Cloud, headers: dict[str, str], exists: bool, status: int) -> None:
    """If-Match makes an upsert an update only, If-None-Match a create only."""
    if exists:
        await cloud.upsert("customer", "cus_1", {"Name": "A"})
    assert (await cloud.upsert("customer", "cus_1", {"Name": "B"}, **headers)).status_code == status


@pytest.mark.parametrize(
    ("match", "status"), [(None, 428), ('W/"1"', 200), ('W/"9"', 412), ("*", 200), ('W/"9", W/"1"', 200)]
)
async def test_update_by_key_is_conditional(cloud: Cloud, match: str | None, status: int) -> None:
    """Without If-Match 428, with a stale one 412; what was refused changed nothing."""
    key = first_key(cloud, "customer")
    headers = {"If-Match": match} if match else {}
    reply = await cloud.http.patch(f"/odata/v4/Customers('{key}')", json={"Phone": "42"}, headers=headers)
    assert reply.status_code == status
    assert len(await cloud.effects()) == (1 if status == 200 else 0)
    if status == 200:
        assert reply.headers["etag"] == 'W/"2"'


async def test_seeded_row_takes_an_external_id_once(cloud: Cloud) -> None:
    """A row of the data load is linked by writing our id into it; the id is unique from then on."""
    key, other = first_key(cloud, "customer"), first_key(cloud, "customer", 1)
    linked = await cloud.update("customer", key, {"ExternalId": "cus_1"}, marker="op_1")
    assert linked.json()["ExternalId"] == "cus_1"
    assert (await cloud.upsert("customer", "cus_1", {"Phone": "1"})).json()["CustomerNo"] == key
    taken = await cloud.update("customer", other, {"ExternalId": "cus_1"})
    assert cloud.problem(taken)[:2] == (409, "DuplicateExternalId")
    assert (await cloud.create("customer", {"Name": "X", "ExternalId": "cus_1"})).status_code == 409


async def test_not_modified(cloud: Cloud) -> None:
    """If-None-Match with the current ETag answers 304 without a body."""
    key = first_key(cloud, "customer")
    reply = await cloud.http.get(f"/odata/v4/Customers('{key}')", headers={"If-None-Match": 'W/"1"'})
    assert (reply.status_code, reply.content) == (304, b"")


FILTERS = [
    ("Number eq 'CU-0003'", lambda v: v["Number"] == "CU-0003"),
    (
        "Status eq 'Active' and LegalEntity eq 'DE01'",
        lambda v: v["Status"] == "Active" and v["LegalEntity"] == "DE01",
    ),
    ("LegalEntity eq 'DE01' or LegalEntity eq 'UK01'", lambda v: v["LegalEntity"] in ("DE01", "UK01")),
    ("LegalEntity in ('DE01','UK01')", lambda v: v["LegalEntity"] in ("DE01", "UK01")),
    ("Number eq 'CU-0003' or Number eq 'CU-0005'", lambda v: v["Number"] in ("CU-0003", "CU-0005")),
    (
        "(Number eq 'CU-0003' or Number eq 'CU-0005') and LegalEntity ne 'DE01'",
        lambda v: v["Number"] in ("CU-0003", "CU-0005") and v["LegalEntity"] != "DE01",
    ),
    (
        "Number eq 'CU-0003' or LegalEntity eq 'DE01'",
        lambda v: v["Number"] == "CU-0003" or v["LegalEntity"] == "DE01",
    ),
    (
        "(Number eq 'CU-0003' and Status eq 'Nowhere') or Number eq 'CU-0005'",
        lambda v: v["Number"] == "CU-0005",
    ),
    ("Number in ('CU-0003',null)", lambda v: v["Number"] in ("CU-0003", None)),
    ("ExternalId in (null,'x')", lambda v: v.get("ExternalId") is None),
    ("not (LegalEntity eq 'DE01')", lambda v: v["LegalEntity"] != "DE01"),
    ("CreditLimit ge 200000.00 and CreditLimit lt 300000", lambda v: 200000 <= v["CreditLimit"] < 300000),
    ("TaxId ne null", lambda v: v["TaxId"] is not None),
    ("BillingAddress/Country eq 'GB'", lambda v: v["BillingAddress"]["Country"] == "GB"),
    ("contains(Name,'Ltd')", lambda v: "Ltd" in v["Name"]),
    (
        "startswith(Name,'Kes') or endswith(Name,'GmbH')",
        lambda v: v["Name"][:3] == "Kes" or v["Name"][-4:] == "GmbH",
    ),
    ("ModifiedAt ge 2020-01-01T00:00:00Z", lambda v: True),
    ("ModifiedAt gt 2030-01-01T00:00:00.123456Z", lambda v: False),
    ("Name eq 'it''s'", lambda v: False),
]


@pytest.mark.parametrize(("text", "meant"), FILTERS, ids=[text for text, _ in FILTERS])
async def test_filters_mean_what_they_say(cloud: Cloud, text: str, meant: Any) -> None:
    """A filter answers exactly the rows for which its plain reading holds."""
    for number in range(6):
        await cloud.create("customer", {"Name": f"More {number}", "CreditLimit": 100000 * number})
    rows = cloud.simulator.shelves["customer"].rows.values()
    expected = [row.key for row in rows if _holds(meant, row.values)]
    reply = await cloud.http.get("/odata/v4/Customers", params={"$filter": text})
    assert [record["CustomerNo"] for record in reply.json()["value"]] == expected


@pytest.mark.parametrize(
    "text",
    [
        "Colour eq 'red'",
        "Name eq",
        "Name like 'x'",
        "(Name eq 'x'",
        "Name eq 'x' extra",
        "Name eq 5",
        "Tasks eq 'x'",
        "ModifiedAt ge 'yesterday'",
        "ModifiedAt ge 2026-13-01T00:00:00Z",
        "¤",
        "(" * 100,
    ],
)
async def test_a_filter_that_cannot_be_read_is_400(cloud: Cloud, text: str) -> None:
    """No half-understood filter: it is refused with the reason."""
    reply = await cloud.http.get("/odata/v4/Customers", params={"$filter": text})
    assert cloud.problem(reply)[:2] == (400, "BadFilter")


async def test_a_long_filter_is_read(cloud: Cloud) -> None:
    """Hundreds of conditions in one filter are no harder than one."""
    text = " or ".join(f"Number eq 'CU-{n:04d}'" for n in range(500))
    reply = await cloud.http.get("/odata/v4/Customers", params={"$filter": text})
    assert len(reply.json()["value"]) == len(cloud.simulator.shelves["customer"].rows)


async def test_server_pages_are_followed_to_the_end(cloud: Cloud) -> None:
    """Following nextLink answers each row once, in order, with filter, order and count kept."""
    link = "TimeEntries?$filter=Billable eq true&$orderby=WorkDate desc,EntryNo&$count=true"
    rows: list[dict[str, Any]] = []
    pages = 0
    while link:
        reply = await cloud.http.get(f"/odata/v4/{link}")
        body = reply.json()
        rows += body["value"]
        pages += 1
        link = body.get("@odata.nextLink", "")
        assert not urlsplit(link).scheme
    assert pages > 1
    assert len({row["EntryNo"] for row in rows}) == len(rows) == body["@odata.count"]
    days = [row["WorkDate"] for row in rows]
    assert days == sorted(days, reverse=True)


async def test_top_and_skip_cut_the_whole_set(cloud: Cloud) -> None:
    """$top limits what all pages hold together, $skip leaves out the first; $count tells the whole."""
    every = list(cloud.simulator.shelves["time_entry"].rows)
    first = (await cloud.http.get("/odata/v4/TimeEntries?$top=130&$skip=10&$count=true")).json()
    second = (await cloud.http.get(f"/odata/v4/{first['@odata.nextLink']}")).json()
    assert [row["EntryNo"] for row in first["value"] + second["value"]] == every[10:140]
    assert "@odata.nextLink" not in second
    assert first["@odata.count"] == len(every)
    assert (await cloud.http.get("/odata/v4/TimeEntries/$count")).text == str(len(every))


@pytest.mark.parametrize("top", [1, 99, 100, 101, 199, 200, 201, 400, 999])
async def test_pages_end_where_top_says(cloud: Cloud, top: int) -> None:
    """Just below, at and above a page: all rows that $top allows, and no link to an empty page."""
    every = list(cloud.simulator.shelves["time_entry"].rows)
    link, rows = f"TimeEntries?$top={top}", list[str]()
    while link:
        body = (await cloud.http.get(f"/odata/v4/{link}")).json()
        assert body["value"]
        rows += [row["EntryNo"] for row in body["value"]]
        link = body.get("@odata.nextLink", "")
    assert rows == every[:top]


async def test_select(cloud: Cloud) -> None:
    """Only the properties asked for, and the ETag."""
    reply = await cloud.http.get("/odata/v4/Customers?$top=1&$select=Name,CustomerNo")
    assert set(reply.json()["value"][0]) == {"@odata.etag", "Name", "CustomerNo"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/odata/v4/Customers('nobody')", 404),
        ("GET", "/odata/v4/Nothing", 404),
        ("GET", "/elsewhere", 404),
        ("PUT", "/odata/v4/Customers('C100001')", 405),
        ("DELETE", "/odata/v4/Customers", 405),
        ("GET", "/odata/v4/Customers?$expand=Projects", 400),
        ("GET", "/odata/v4/Customers?$orderby=Colour", 400),
        ("GET", "/odata/v4/Customers?$top=many", 400),
        ("GET", "/odata/v4/Customers(Name='x')", 404),
    ],
)
async def test_addresses(cloud: Cloud, method: str, path: str, status: int) -> None:
    """Errors come in the envelope with code and message."""
    reply = await cloud.http.request(method, path)
    assert reply.status_code == status
    assert set(reply.json()["error"]) >= {"code", "message"}


@pytest.mark.parametrize(
    ("body", "code", "target"),
    [
        pytest.param({"Name": "A", "Colour": "red"}, "UnknownProperty", "Colour", id="unknown property"),
        pytest.param({"Name": 5}, "InvalidValue", "Name", id="number for text"),
        pytest.param(
            {"Name": "A", "PaymentTermsDays": True}, "InvalidValue", "PaymentTermsDays", id="flag for number"
        ),
        pytest.param({"Name": "A", "CreditLimit": "1e5"}, "InvalidValue", "CreditLimit", id="exponent"),
        pytest.param(
            {"Name": "A", "BillingAddress": "Ulm"}, "InvalidValue", "BillingAddress", id="text for object"
        ),
        pytest.param(
            {"Name": "A", "BillingAddress": {"X": 1}}, "UnknownProperty", "BillingAddress/X", id="inside"
        ),
    ],
)
async def test_malformed_bodies_are_400(cloud: Cloud, body: dict[str, Any], code: str, target: str) -> None:
    """The wrong type is refused with the path of the property; nothing is stored."""
    assert cloud.problem(await cloud.create("customer", body)) == (400, code, target)
    assert await cloud.effects() == []


async def test_batch_does_parts_in_order(cloud: Cloud) -> None:
    """Parts without a group stand alone: one that fails does not touch the others."""
    reply = await _batch(
        cloud,
        {"id": "1", "method": "POST", "url": "Customers", "body": {"Name": "A"}},
        {"id": "2", "method": "POST", "url": "Customers", "body": {"Colour": "A"}},
        {"id": "3", "method": "GET", "url": "Customers?$filter=Name eq 'A'"},
    )
    assert [(r["id"], r["status"]) for r in reply] == [("1", 201), ("2", 400), ("3", 200)]
    assert len(reply[2]["body"]["value"]) == 1


async def test_a_failed_group_leaves_nothing(cloud: Cloud) -> None:
    """All or nothing: every part of the group answers a failure, no row, index or effect remains."""
    key = first_key(cloud, "customer")
    before = (await cloud.fetch("customer", key)).json()
    reply = await _batch(
        cloud,
        {
            "id": "1",
            "atomicityGroup": "g",
            "method": "PATCH",
            "url": "Customers(ExternalId='cus_1')",
            "body": {"Name": "A"},
        },
        {
            "id": "2",
            "atomicityGroup": "g",
            "method": "PATCH",
            "url": f"Customers('{key}')",
            "headers": {"If-Match": "*"},
            "body": {"Phone": "1", "LastOperation": "op_g"},
        },
        {"id": "3", "atomicityGroup": "g", "method": "POST", "url": "Customers", "body": {}},
    )
    assert [(r["id"], r["status"]) for r in reply] == [("1", 424), ("2", 424), ("3", 422)]
    assert (await cloud.fetch("customer", key)).json() == before
    assert (await cloud.http.get("/odata/v4/Customers(ExternalId='cus_1')")).status_code == 404
    assert await cloud.keys("customer", "LastOperation", "op_g") == []
    assert await cloud.effects() == []


async def test_a_group_that_succeeds_is_done(cloud: Cloud) -> None:
    """Every part is 2xx and every effect is logged."""
    parts = [
        {
            "id": str(n),
            "atomicityGroup": "g",
            "method": "POST",
            "url": "/odata/v4/Customers",
            "body": {"Name": f"A{n}"},
        }
        for n in range(3)
    ]
    assert [r["status"] for r in await _batch(cloud, *parts)] == [201] * 3
    assert len(await cloud.effects()) == 3


async def test_metadata_describes_every_set(cloud: Cloud) -> None:
    """The EDMX is well-formed and names the sets that the service document names."""
    sets = [s["url"] for s in (await cloud.http.get("/odata/v4/")).json()["value"]]
    root = etree.fromstring((await cloud.http.get("/odata/v4/$metadata")).content)
    assert [node.get("Name") for node in root.iter("{*}EntitySet")] == sets
    assert len(sets) == 8


async def test_custom_fields_are_kept_as_text(cloud: Cloud) -> None:
    """What the tables do not name has a place."""
    text = json.dumps({"segment": "gold", "n": [1, 2]})
    record = (await cloud.upsert("customer", "cus_1", {"Name": "A", "CustomFields": text})).json()
    assert record["CustomFields"] == text


async def _batch(cloud: Cloud, *parts: dict[str, Any]) -> list[dict[str, Any]]:
    reply = await cloud.http.post("/odata/v4/$batch", json={"requests": list(parts)})
    assert reply.status_code == 200, reply.text
    return reply.json()["responses"]


def _holds(meant: Any, values: dict[str, Any]) -> bool:
    try:
        return bool(meant(values))
    except TypeError:
        return False  # null is neither above nor below anything


def _project(cloud: Cloud) -> dict[str, Any]:
    return {
        "Name": "P",
        "CustomerNo": first_key(cloud, "customer"),
        "BillingMethod": "FixedPrice",
        "CurrencyCode": "EUR",
    }


def _contract(cloud: Cloud) -> dict[str, Any]:
    return {
        "Title": "K",
        "CustomerNo": first_key(cloud, "customer"),
        "Kind": "StatementOfWork",
        "CurrencyCode": "EUR",
    }
