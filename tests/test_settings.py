"""Settings: from the environment, with a sentence for what cannot be used."""

from pathlib import Path

import pytest

from overround.errors import SettingsError
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
