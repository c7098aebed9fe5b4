"""Rule files: what they settle, and what stops the start."""

from __future__ import annotations

from datetime import date
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from gateway.canonical import ENTITIES
from gateway.errors import RuleFileWrong, UnknownRegion
from gateway.routing import Rule, Ruleset, Stage, difference, export, load, read

SHIPPED = Path(__file__).parents[3] / "routing_rules"

REGIONS = """
[[regions]]
code = "UK"
name = "United Kingdom"
default_legal_entity = "UK01"
[[regions.legal_entities]]
code = "UK01"
name = "UK Ltd"
country = "GB"
currency = "GBP"
[[regions]]
code = "NO"
name = "Norway"
default_legal_entity = "NO02"
[[regions.legal_entities]]
code = "NO01"
name = "One AS"
country = "NO"
currency = "NOK"
[[regions.legal_entities]]
code = "NO02"
name = "Two AS"
country = "NO"
currency = "NOK"
"""


def _rules(entity: str, *rows: str) -> str:
    return f'entity = "{entity}"\n' + "".join(f"[[rules]]\n{row}\n" for row in rows)


EVERYWHERE = 'region = "*"\nstage = "legacy_only"'


def rule_files(**changed: str) -> dict[str, str]:
    whole = {f"{entity.name}.toml": _rules(entity.name, EVERYWHERE) for entity in ENTITIES}
    return {"regions.toml": REGIONS, **whole, **{f"{name}.toml": text for name, text in changed.items()}}


def test_shipped_rules() -> None:
    """The rules that come with the program cover every slice of the firm, and begin on the legacy system."""
    ruleset = load(SHIPPED)
    assert {code: [c.code for c in r.legal_entities] for code, r in ruleset.regions.items()} == {
        "UK": ["UK01"],
        "DACH": ["DE01", "CH01"],
        "US": ["US01"],
        "APAC": ["SG01", "AU01"],
    }
    companies = {c.code: (c.currency, c.country) for r in ruleset.regions.values() for c in r.legal_entities}
    assert companies == {
        "UK01": ("GBP", "GB"),
        "DE01": ("EUR", "DE"),
        "CH01": ("CHF", "CH"),
        "US01": ("USD", "US"),
        "SG01": ("USD", "SG"),
        "AU01": ("AUD", "AU"),
    }
    assert set(ruleset.rules) == {(e.name, r) for e in ENTITIES for r in ruleset.regions}
    assert {rule.stage for rule in ruleset.rules.values()} == {Stage.LEGACY_ONLY}
    assert load(files("routing_rules")) == ruleset


def test_shipped_files_explain_themselves() -> None:
    """Each rule file begins with words for the person who reviews it."""
    for path in SHIPPED.glob("*.toml"):
        assert path.read_text(encoding="utf-8").startswith("# "), path.name


def test_specific_beats_everywhere() -> None:
    """A rule for one region beats the rule for all, whichever stands first."""
    norway = 'region = "NO"\nstage = "shadow"\ncompare_sample = 5\nstorable = false\nnote = "pilot"'
    for rows in ((EVERYWHERE, norway), (norway, EVERYWHERE)):
        ruleset = read(rule_files(customer=_rules("customer", *rows)))
        assert ruleset.rule("customer", "UK").stage is Stage.LEGACY_ONLY
        assert ruleset.rule("customer", "NO") == Rule(
            entity="customer", region="NO", stage=Stage.SHADOW, compare_sample=5, storable=False, note="pilot"
        )
        assert {rule.region for rule in ruleset.rules.values()} == {"UK", "NO"}


def test_regions() -> None:
    """A legal entity tells its region, a region its default; an unknown one is refused with those known."""
    ruleset = read(rule_files())
    assert ruleset.region_of("NO01") == "NO"
    assert ruleset.region_of("XX01") is None
    assert ruleset.default_legal_entity("NO") == "NO02"
    company = ruleset.legal_entity("NO01")
    assert company is not None
    assert company.currency == "NOK"
    assert ruleset.legal_entity("XX01") is None
    for ask in (ruleset.region, ruleset.default_legal_entity, lambda code: ruleset.rule("customer", code)):
        with pytest.raises(UnknownRegion, match="UK, NO"):
            ask("XX")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (
            {"customer": _rules("customer", EVERYWHERE + "\nrf = 1")},
            r"customer.toml: .*`rf` - at `\$.rules\[0\]`",
        ),
        ({"customer": 'entities = "customer"\n'}, r"customer.toml: .*entities"),
        ({"customer": _rules("customer", 'region = "*"\nstage = "off"')}, r"customer.toml: .*'off'.*\.stage"),
        (
            {"customer": _rules("customer", EVERYWHERE + "\ncompare_sample = 0")},
            r"customer.toml: .*compare_sample",
        ),
        ({"customer": _rules("customer", EVERYWHERE + '\nstorable = "yes"')}, r"customer.toml: .*storable"),
        (
            {"customer": _rules("customer", EVERYWHERE, EVERYWHERE)},
            r"customer.toml: rules\[1\].region: '\*' .*overlap",
        ),
        ({"customer": _rules("customer", 'region = "UK"\nstage = "live"')}, r"no rule for customer in NO"),
        (
            {"customer": _rules("customer", 'region = "XX"\nstage = "live"')},
            r"rules\[0\].region: 'XX' is none of",
        ),
        ({"customer": 'entity = "customer"\nrules = []'}, r"customer.toml: .*rules"),
        ({"customer": 'entity = "customer'}, r"customer.toml: is not TOML"),
        ({"customer": _rules("project", EVERYWHERE)}, r"project has its rules in customer.toml already"),
        ({"vendor": _rules("vendor", EVERYWHERE)}, r"vendor.toml: entity: 'vendor' is none of"),
        ({"regions": "regions = []"}, r"regions.toml: .*regions"),
        ({"regions": REGIONS.replace("NO02", "UK01", 1)}, r"regions\[1\]: default_legal_entity UK01 is not"),
        (
            {"regions": REGIONS.replace('code = "NO01"', 'code = "UK01"')},
            r"legal entity UK01 is in UK already",
        ),
        ({"regions": REGIONS.replace('code = "NO"', 'code = "UK"')}, r"the region UK is there already"),
        ({"regions": REGIONS.replace('"NOK"', '"XXX"')}, r"regions.toml: .*XXX"),
        ({"regions": REGIONS.replace("country", "land")}, r"regions.toml: .*land"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_stops_the_start(changed: dict[str, str], says: str) -> None:
    """A gap, an overlap, an unknown key, a wrong value: each is refused with its file and its place."""
    with pytest.raises(RuleFileWrong, match=says):
        read(rule_files(**changed))


@pytest.mark.parametrize("name", ["regions.toml", *(f"{entity.name}.toml" for entity in ENTITIES)])
def test_a_missing_file_stops_the_start(name: str) -> None:
    """Each entity has its file, and there is one for the regions."""
    whole = rule_files()
    del whole[name]
    with pytest.raises(RuleFileWrong, match=rf"{name}: is missing"):
        read(whole)


def test_a_missing_folder_stops_the_start(tmp_path: Path) -> None:
    """A folder that is not there is named."""
    with pytest.raises(RuleFileWrong, match="nowhere: is no folder"):
        load(tmp_path / "nowhere")


def test_files_that_are_no_rules_are_left_alone(tmp_path: Path) -> None:
    """Only TOML files are read, so that an editor's backup does not stop the start."""
    for name, text in {**rule_files(), "customer.toml~": "?", "README": "?"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert load(tmp_path) == read(rule_files())


def _with(ruleset: Ruleset, rule: Rule) -> dict[tuple[str, str], Rule]:
    return {**ruleset.rules, (rule.entity, rule.region): rule}


def test_difference() -> None:
    """The plan names each slice that would change and what in it; nothing for what stays."""
    ruleset = read(rule_files())
    assert difference(ruleset.rules, ruleset.rules) == ()
    before = ruleset.rule("project", "NO")
    after = msgspec.structs.replace(before, stage=Stage.DUAL_WRITE, note="begin")
    (change,) = difference(ruleset.rules, _with(ruleset, after))
    assert (change.entity, change.region, change.before, change.after) == ("project", "NO", before, after)
    assert change.fields == ("stage", "note")
    without = {key: rule for key, rule in ruleset.rules.items() if key != ("project", "NO")}
    assert [(c.before, c.after) for c in difference(without, ruleset.rules)] == [(None, before)]
    assert [(c.before, c.after) for c in difference(ruleset.rules, without)] == [(before, None)]


def test_export_reads_back() -> None:
    """What is exported reads back to the same rules, whatever stands in a note."""
    ruleset = read(rule_files())
    odd = Rule(
        entity="project",
        region="NO",
        stage=Stage.LIVE,
        compare_sample=7,
        storable=False,
        note='say "ja" \\ \n\t\x7f Ø',
    )
    rules = _with(ruleset, odd)
    texts = export(rules.values())
    assert set(texts) == {f"{entity.name}.toml" for entity in ENTITIES}
    assert read({"regions.toml": REGIONS, **texts}).rules == rules
    assert '"*"' in texts["customer.toml"]


COHORTS = """
[[cohorts]]
name = "wave1"
region = "UK"
root = "project"
numbers = ["P-1"]
percent = 20
[[cohorts]]
name = "two"
region = "NO"
root = "customer"
legal_entities = ["NO01"]
"""


def test_cohorts_have_slices_of_what_hangs_on_their_root() -> None:
    """A cohort narrows its region for its root and what follows it. Without a rule of its own it has its region's, and
    that is known; a rule that names it beats that."""
    wave = 'region = "UK.wave1"\nstage = "shadow"'
    uk = 'region = "UK"\nstage = "dual_write"'
    ruleset = read(rule_files(cohorts=COHORTS, project=_rules("project", EVERYWHERE, uk, wave)))
    assert {entity for entity, place in ruleset.rules if place == "UK.wave1"} == {
        *("project", "time_entry", "expense", "invoice", "payment")
    }
    assert {entity for entity, place in ruleset.rules if place == "NO.two"} == {
        *("customer", "contract", "project", "time_entry", "expense", "invoice", "payment")
    }
    assert ruleset.rule("project", "UK.wave1").stage is Stage.SHADOW
    assert ruleset.rule("project", "UK").stage is Stage.DUAL_WRITE
    assert ruleset.rule("time_entry", "UK.wave1").stage is Stage.LEGACY_ONLY
    assert ("project", "UK.wave1") not in ruleset.following
    assert ("time_entry", "UK.wave1") in ruleset.following
    assert ruleset.region("UK.wave1").code == "UK"


def test_cohorts_go_round() -> None:
    """Rules of cohorts that are exported are read back to the same rules, and say nothing that their region says."""
    wave = 'region = "UK.wave1"\nstage = "shadow"\nnote = "the first"'
    same = 'region = "NO.two"\nstage = "legacy_only"'
    files = rule_files(cohorts=COHORTS, project=_rules("project", EVERYWHERE, wave, same))
    ruleset = read(files)
    written = export(ruleset.rules.values())
    again = read({**{name: files[name] for name in ("regions.toml", "cohorts.toml")}, **written})
    assert again.rules == ruleset.rules
    assert '"UK.wave1"' in written["project.toml"]
    assert '"NO.two"' not in written["project.toml"]
    assert difference(ruleset.rules, again.rules) == ()


@pytest.mark.parametrize(
    ("cohorts", "said"),
    [
        (COHORTS.replace('"UK"', '"XX"'), "cohorts[0].region: 'XX' is none of UK, NO"),
        (COHORTS.replace("NO01", "UK01"), "cohorts[1].legal_entities: UK01 is none of NO01, NO02"),
        (COHORTS.replace('"wave1"', '"Wave.1"'), "cohorts[0].name"),
        (COHORTS + COHORTS, "cohorts[2].name: 'wave1' is in UK.wave1 already"),
        (
            COHORTS + '[[cohorts]]\nname = "w2"\nregion = "UK"\nroot = "project"\nnumbers = ["P-1"]\n',
            "cohorts[2].numbers: 'P-1' is in UK.wave1 already",
        ),
        (
            COHORTS + '[[cohorts]]\nname = "w2"\nregion = "UK"\nroot = "project"\npercent = 81\n',
            "cohorts[2].percent: the cohorts of projects in UK take 101 percent",
        ),
        (COHORTS.replace('"project"', '"resource"'), "cohorts[0].root"),
    ],
)
def test_wrong_cohorts_stop_the_start(cohorts: str, said: str) -> None:
    """A cohort that nobody can be in, or that two would have, is named with its place."""
    with pytest.raises(RuleFileWrong) as wrong:
        read(rule_files(cohorts=cohorts))
    assert f"cohorts.toml: {said}" in str(wrong.value) or said in str(wrong.value)


def test_a_rule_for_a_cohort_that_has_no_such_slice() -> None:
    """Nobody routes the resources of a cohort of projects: they stay with their region."""
    wave = 'region = "UK.wave1"\nstage = "shadow"'
    with pytest.raises(RuleFileWrong, match=r"resource.toml: rules\[1\].region: 'UK.wave1' is none of UK, NO, nor"):
        read(rule_files(cohorts=COHORTS, resource=_rules("resource", EVERYWHERE, wave)))


def test_windows_and_guards_of_a_region_are_about_its_cohorts() -> None:
    """A region's freeze holds for its cohorts, which keep its books; and so does its guard. One may also be of a cohort
    alone."""
    calendar = '[[freezes]]\nname = "close"\nregions = ["UK"]\nlast_days_of_month = 3\n'
    guards = '[[guards]]\nname = "g"\nregions = ["UK.wave1"]\ngates = ["lag"]\n'
    ruleset = read(rule_files(cohorts=COHORTS, calendar=calendar, guards=guards))
    day = date(2026, 11, 30)
    assert ruleset.calendar.frozen("project", "UK.wave1", day) is not None
    assert ruleset.calendar.frozen("project", "NO.two", day) is None
    assert ruleset.guards.of("project", "UK.wave1") is not None
    assert ruleset.guards.of("project", "UK") is None
