"""Settings: from the environment, with a sentence for what cannot be used."""

from pathlib import Path

import pytest

from overround.errors import SettingsError
from overround.perf.env_file import save
from overround.settings import load_settings


def test_everything_lives_under_the_project_by_default(monkeypatch, tmp_path):
    for name in ("STORE", "CACHE", "REPORTS"):
        monkeypatch.delenv(f"OVERROUND_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    settings = load_settings()

    assert settings.home == Path(__file__).parents[1]
    assert settings.store_root == str(settings.home / "data" / "store")
    assert settings.reports_folder == settings.home / "reports"


def test_the_environment_and_a_dotenv_file_are_read(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("OVERROUND_LIVE_TTL=7\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("OVERROUND_STORE", "s3://bucket/odds")

    settings = load_settings()

    assert (settings.live_ttl, settings.store_root) == (7.0, "s3://bucket/odds")


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project with a `.env`, and nothing set in the environment."""
    for name in ("HOME", "STORE", "CACHE", "REPORTS", "ODDS_API_KEY", "PROCESSES"):
        monkeypatch.delenv(f"OVERROUND_{name}", raising=False)
    folder = tmp_path / "a project"
    (folder / "notebooks" / "mine").mkdir(parents=True)
    (folder / "notebooks" / "backtest.ipynb").write_text("{}")
    return folder


@pytest.mark.parametrize("where", [".", "notebooks", "notebooks/mine", ".."])
def test_a_line_of_the_projects_file_means_the_same_in_every_working_folder(project, monkeypatch, where):
    monkeypatch.setenv("HOME", str(project / "me"))
    (project / ".env").write_text("OVERROUND_STORE=data/big\nOVERROUND_CACHE=../c\nOVERROUND_REPORTS=~/r\n")
    monkeypatch.chdir(project / where)
    if where == "..":  # outside of it the project is named
        monkeypatch.setenv("OVERROUND_HOME", str(project))

    settings = load_settings()

    assert settings.store_root == str(project / "data" / "big")
    assert settings.cache_folder == project / ".." / "c"
    assert settings.reports_folder == project / "me" / "r"


def test_tune_writes_into_the_file_that_is_read_from_notebooks(project, monkeypatch, caplog):
    (project / ".env").write_text("OVERROUND_ODDS_API_KEY=canary\n")
    (project / ".env").chmod(0o644)
    monkeypatch.chdir(project / "notebooks")

    file = save({"processes": 2})

    assert file == project / ".env" and not Path(".env").exists()
    assert load_settings().processes == 2
    assert f"chmod 600 '{project / '.env'}'" in caplog.text


def test_an_unreadable_file_of_the_project_is_named_from_notebooks(project, monkeypatch):
    (project / ".env").write_bytes(b"A=\xff")
    monkeypatch.chdir(project / "notebooks")

    with pytest.raises(SettingsError, match=r"a project/\.env cannot be read"):
        load_settings()


def test_an_object_store_in_the_projects_file_stays_an_address(project, monkeypatch):
    (project / ".env").write_text("OVERROUND_STORE=s3://bucket/~/odds\n")
    monkeypatch.chdir(project)

    assert load_settings().store_root == "s3://bucket/~/odds"


@pytest.mark.parametrize(("given", "folder"), [("~", ""), ("~/odds", "odds"), ("~/a%20b", "a%20b")])
def test_a_tilde_at_the_beginning_of_a_folder_is_the_home_folder(monkeypatch, tmp_path, given, folder):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HOME", "STORE", "CACHE", "REPORTS"):
        monkeypatch.setenv(f"OVERROUND_{name}", given)

    settings = load_settings()

    wanted = tmp_path / folder if folder else tmp_path
    assert {settings.home, Path(settings.store_root), settings.cache_folder, settings.reports_folder} == {
        wanted
    }


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LIVE_TTL", "soon", "OVERROUND_LIVE_TTL (environment or .env): 'soon' cannot be used"),
        ("FOOTBALL_DATA_URL", "ftp://x", "OVERROUND_FOOTBALL_DATA_URL"),
    ],
)
def test_what_cannot_be_used_is_named(monkeypatch, name, value, sentence):
    monkeypatch.setenv(f"OVERROUND_{name}", value)

    with pytest.raises(SettingsError) as error:
        load_settings()

    assert sentence in str(error.value)


def test_the_key_is_never_shown(monkeypatch):
    monkeypatch.setenv("OVERROUND_ODDS_API_KEY", "canary-key")

    assert "canary" not in repr(load_settings())
