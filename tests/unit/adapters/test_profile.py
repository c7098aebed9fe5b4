"""The profile language refuses what it does not know, with the file and the place."""

from __future__ import annotations

import re
import textwrap

import pytest

from adapters import profile as language
from adapters.errors import Misconfigured
from adapters.profile import load, names, parse
from tests.unit.adapters.systems import ODATA, PROFILES, REST_XML


def test_the_example_in_the_docstring_is_a_profile() -> None:
    """What people copy from must be right."""
    found = re.search(r"::\n\n(.*?)\n\nEmpty values", language.__doc__ or "", re.DOTALL)
    assert found
    example = parse(textwrap.dedent(found[1]), file="example.toml")
    assert example.entities["project"].filter_names == {"state": "status", "customer_id": "kunde"}


@pytest.mark.parametrize("name", names())
def test_every_shipped_profile_loads(name: str) -> None:
    """By its name, from the installed package."""
    assert load(name).file == f"adapters/profiles/{name}.toml"


@pytest.mark.parametrize(
    ("text", "old", "new", "says"),
    [
        (ODATA, 'note = { path = "Note"', 'note = { pth = "Note"', "`pth`"),
        (ODATA, "upsert = true", "upsert = 1", "$.options.upsert"),
        (ODATA, "upsert = true", "upset = true", "[options]"),
        (ODATA, 'protocol = "odata"', 'protocol = "soap"', "$.protocol"),
        (ODATA, 'grade = "simulated"', 'grade = "sure"', "$.grade"),
        (ODATA, 'grade = "simulated"', 'grade = "simulated', "line 5"),
        (
            ODATA,
            'convert = "date_iso"',
            'convert = "date_isoo"',
            "$.entities.invoice.fields.issue_date.convert",
        ),
        (ODATA, 'tax_code = "TaxCode"', 'tax_code = { convert = "text" }', "fields.lines.each.tax_code"),
        (ODATA, 'currency = "/Currency", convert', "convert", "needs exactly one of `currency` and"),
        (ODATA, 'external_id = "ExternalId"', "", "class B needs external_id"),
        (ODATA, 'version = "@odata.etag"', "", "a conditional update needs version"),
        (ODATA, 'filters = ["customer_id"', 'filters = ["customer"', "'customer' is not among the fields"),
        (ODATA, 'capabilities = ["fetch"', 'capabilities = ["fetsh"', "'fetsh'"),
        (REST_XML, 'marker = { path = "Referenz", max_length = 40 }', "", "class D needs a marker"),
        (REST_XML, 'values = { E = "draft", B = "posted" }', 'values = "states"', "no table [values.states]"),
    ],
)
def test_a_fault_is_named_with_its_place(text: str, old: str, new: str, says: str) -> None:
    """The file and the path, so that the one who wrote it need not search."""
    assert old in text
    with pytest.raises(Misconfigured) as caught:
        parse(text.replace(old, new, 1), file="mine.toml")
    assert "mine.toml" in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["no_such_product", "missing.toml", "../options"])
def test_an_unknown_name_says_which_there_are(name: str) -> None:
    """By name only what ships; anything else is a path that ends in .toml."""
    with pytest.raises(Misconfigured, match="there is no profile"):
        load(name)


def test_the_test_profiles_are_whole() -> None:
    """The small profiles of these tests pass the same checks as shipped ones."""
    assert {parse(text, file=name).product for name, text in PROFILES.items()} == {"example"}
