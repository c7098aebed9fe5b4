"""What the doctor looks at without touching anything outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import codes, doctor
from gateway.cli.doctor import Check
from gateway.settings import Settings, SystemSettings


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
