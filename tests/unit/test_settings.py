"""Settings: one file, then the environment; a wrong one stops the start with its path and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import SettingWrong
from gateway.settings import Settings, load


def test_without_a_file_it_runs_on_sqlite_alone(tmp_path: Path) -> None:
    """No file and no variable: SQLite in the working folder, no Redis, both simulated systems, loopback only."""
    settings = load({}, folder=tmp_path)
    assert settings == Settings()
    assert settings.sqlite
    assert settings.redis is None
    assert settings.host == "127.0.0.1"
    assert set(settings.systems) == {"legacy", "cloud"}


def test_the_environment_overrides_the_file_key_by_key(tmp_path: Path) -> None:
    """A variable changes its own key and nothing beside it, also inside a table."""
    (tmp_path / "twinrun.toml").write_text(
        'port = 9000\nhost = "0.0.0.0"\n[systems.legacy]\nprofile = "sandbox_legacy"\nbase_url = "http://erp"\n'
    )
    environ = {"TWINRUN_PORT": "9001", "TWINRUN_SYSTEMS__LEGACY__TIMEOUT_S": "2.5"}
    settings = load(environ, folder=tmp_path)
    assert (settings.port, settings.host) == (9001, "0.0.0.0")
    assert settings.systems["legacy"].base_url == "http://erp"
    assert settings.systems["legacy"].timeout_s == 2.5
    assert settings.systems["cloud"] == Settings().systems["cloud"]


def test_a_system_that_is_only_adjusted_keeps_its_profile(tmp_path: Path) -> None:
    """One address in the environment is enough to point a default system elsewhere."""
    settings = load({"TWINRUN_SYSTEMS__CLOUD__BASE_URL": "http://elsewhere"}, folder=tmp_path)
    assert settings.systems["cloud"].base_url == "http://elsewhere"
    assert settings.systems["cloud"].profile == Settings().systems["cloud"].profile


@pytest.mark.parametrize("where", ["file", "environment"])
def test_secrets_are_read_from_files(tmp_path: Path, where: str) -> None:
    """A key that ends in ``_file`` takes the text of that file, without the line break that editors add."""
    secret = tmp_path / "secret"
    secret.write_text("postgresql://twinrun:s3cret@db/twinrun\n")
    environ: dict[str, str] = {}
    if where == "file":
        (tmp_path / "twinrun.toml").write_text(f'database_file = "{secret}"\n')
    else:
        environ["TWINRUN_DATABASE_FILE"] = str(secret)
    assert load(environ, folder=tmp_path).database == "postgresql://twinrun:s3cret@db/twinrun"


@pytest.mark.parametrize(
    ("environ", "file", "told"),
    [
        pytest.param({}, "prot = 1", "prot", id="unknown key"),
        pytest.param({}, 'port = "many"', "$.port", id="wrong type"),
        pytest.param({"TWINRUN_PORT": "70000"}, None, "$.port", id="out of range"),
        pytest.param({"TWINRUN_DATABASE": "mysql://db/x"}, None, "postgresql://", id="unknown database"),
        pytest.param({"TWINRUN_REDIS": "localhost:6379"}, None, "redis://", id="redis without a scheme"),
        pytest.param({}, "port = ", "TOML", id="not TOML"),
        pytest.param({"TWINRUN_CONFIG": "nowhere.toml"}, None, "nowhere.toml", id="named file is missing"),
        pytest.param({"TWINRUN_DATABASE_FILE": "nowhere"}, None, "database_file", id="secret is missing"),
        pytest.param({"TWINRUN_PORT__X": "1"}, "port = 1", "TWINRUN_PORT__X", id="a table where a value is"),
        pytest.param({}, "[systems.legacy]\nprofil = 'x'", "profil", id="unknown key of a system"),
    ],
)
def test_a_wrong_setting_stops_the_start(
    tmp_path: Path, environ: dict[str, str], file: str | None, told: str
) -> None:
    """Each mistake is refused, and its message names the key or what is allowed."""
    if file is not None:
        (tmp_path / "twinrun.toml").write_text(file)
    with pytest.raises(SettingWrong) as refused:
        load(environ, folder=tmp_path)
    assert told in str(refused.value)


@pytest.mark.parametrize("key", ["TWINRUN_DATABASE", "TWINRUN_REDIS"])
def test_a_refusal_tells_no_password(tmp_path: Path, key: str) -> None:
    """What was found is told without user and password, for it ends up in logs."""
    with pytest.raises(SettingWrong) as refused:
        load({key: "wrong://twinrun:s3cret@host/x"}, folder=tmp_path)
    assert "s3cret" not in str(refused.value)
