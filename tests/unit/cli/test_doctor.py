"""What the doctor looks at without touching anything outside."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.cli import codes, doctor
from gateway.cli.doctor import Check
from gateway.settings import Settings, SourceSettings, SystemSettings
from tests.unit.reconcile.sourced import FIELDS, HEADS, written


def _check(code: int) -> Check:
    return Check(name="x", result="fail" if code else "pass", found="", code=code)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        pytest.param([], 0, id="nothing fails"),
        pytest.param([codes.UNSURE], 3, id="a system is silent"),
        pytest.param([codes.UNSURE, codes.DIFFER], 1, id="certain before uncertain"),
        pytest.param([codes.UNSURE, codes.DIFFER, codes.WRONG], 2, id="settings before everything"),
    ],
)
def test_the_exit_code_is_that_of_what_is_most_certain(
    found: list[int], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong for certain says more than what could not be reached."""

    async def examined() -> list[Check]:
        return [_check(codes.PASS), *(_check(one) for one in found)]

    monkeypatch.setattr(doctor, "examine", examined)
    assert doctor.doctor(json=True) == code
    assert f'"{"fail" if code else "pass"}"' in capsys.readouterr().out


def test_a_rule_file_that_is_wrong_is_named(tmp_path: Path) -> None:
    """An empty folder is no rule set."""
    found = doctor._rules(Settings(rules=str(tmp_path)))
    assert (found.result, found.code) == ("fail", codes.WRONG)
    assert "regions.toml" in found.found


async def test_it_makes_no_database(tmp_path: Path) -> None:
    """A look changes nothing: the journal is made by the first start."""
    path = tmp_path / "twinrun.db"
    found = await doctor._database(Settings(database=f"sqlite:///{path}"))
    assert found.result == "pass"
    assert not path.exists()


async def test_a_database_without_tables_is_not_ready(tmp_path: Path) -> None:
    """Present is not migrated; the remedy is the command."""
    path = tmp_path / "twinrun.db"
    path.touch()
    found = await doctor._database(Settings(database=f"sqlite:///{path}"))
    assert (found.result, found.code) == ("fail", codes.DIFFER)
    assert "db upgrade" in (found.remedy or "")


def test_a_full_disk_is_told_before_writes_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that cannot grow stops every write."""
    monkeypatch.setattr(doctor, "FREE_BYTES", 2**62)
    assert doctor._disk(tmp_path / "twinrun.db").code == codes.DIFFER


async def test_an_unknown_profile_is_a_wrong_setting() -> None:
    """A profile that nobody ships is told with those that there are."""
    found = await doctor._system("legacy", SystemSettings(profile="nope", base_url="http://127.0.0.1:1"))
    assert [one.code for one in found] == [codes.WRONG]
    assert "sandbox_legacy" in found[0].found


def _declared(folder: Path, kind: str, **changes: str) -> Settings:
    """Settings with one source, whose map lies beside its records."""
    (folder / "map.toml").write_text(HEADS[kind] + FIELDS)
    address = f"sqlite:///{folder / 'erp.db'}" if kind == "sql" else str(folder)
    where = {"system": "legacy", "map": str(folder / "map.toml"), "address": address}
    return Settings(sources={"nightly": SourceSettings(**{**where, **changes})})


async def _looked(settings: Settings) -> tuple[str, str, int]:
    """Name, finding and code of the one check of the one source."""
    (check,) = await doctor._source(settings, "nightly")
    assert (check.code == codes.PASS) is (check.result == "pass") is (check.remedy is None)
    return check.name, check.found, check.code


@pytest.mark.parametrize("kind", ["csv", "json_lines", "sql"])
async def test_a_source_is_looked_at_by_entity(tmp_path: Path, kind: str) -> None:
    """One that is there passes, under the name of its entity; while it is not, something is not ready."""
    settings = _declared(tmp_path, kind)
    name, found, code = await _looked(settings)
    assert (name, code) == ("source nightly expense", codes.DIFFER), found
    written(kind, tmp_path, [("1", {"receipt_ref": "R-1", "legal_entity": "DE01", "billable": True})])
    assert (await _looked(settings))[2] == codes.PASS


async def test_what_is_there_and_cannot_be_read_is_told(tmp_path: Path) -> None:
    """There is not readable: it says what stands in the way."""
    (tmp_path / "spesen.csv").mkdir()
    _, found, code = await _looked(_declared(tmp_path, "csv"))
    assert (found, code) == (f"{tmp_path}: spesen.csv cannot be read: Is a directory", codes.DIFFER)


async def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A file without what its map names is found before a reconciliation is begun, and so is a query."""
    (tmp_path / "spesen.csv").write_text("SpesenNr,Beleg\n")
    assert "Buchungskreis" in (await _looked(_declared(tmp_path, "csv")))[1]
    with sqlite3.connect(tmp_path / "erp.db") as connection:
        connection.execute("CREATE TABLE spesen (SpesenNr TEXT, Beleg TEXT)")
    _, found, code = await _looked(_declared(tmp_path, "sql"))
    assert ("Buchungskreis" in found, code) == (True, codes.DIFFER)


async def test_a_database_that_is_silent_may_come_back(tmp_path: Path) -> None:
    """Nobody knows whether the query is right as long as nothing answers; no password is shown."""
    address = "postgresql://books:secret@127.0.0.1:1/books"
    _, found, code = await _looked(_declared(tmp_path, "sql", address=address))
    assert (code, found.startswith("127.0.0.1:1/books: ")) == (codes.UNSURE, True), found
    assert "secret" not in found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"system": "ledger"}, "$.sources.nightly.system", id="no such system"),
        pytest.param({"map": "nowhere.toml"}, "nowhere.toml cannot be read", id="no map"),
        pytest.param({"address": "postgresql://host/name"}, "a folder", id="a database for files"),
    ],
)
async def test_a_source_that_is_declared_wrongly_is_a_wrong_setting(
    tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    """The key is named; the other sources are looked at all the same."""
    settings = _declared(tmp_path, "csv", **changes)
    name, found, code = await _looked(settings)
    assert (name, said in found, code) == ("source nightly", True, codes.WRONG), found
