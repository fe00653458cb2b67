"""Settings: folders, keys and limits, from the environment (`OVERROUND_*`), else `.env`, else defaults."""

import logging
import os
import shlex
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from overround.errors import SettingsError

PACKAGE = Path(__file__).parent
_FOLDERS = ("home", "store", "cache", "reports")
_log = logging.getLogger(__name__)


def project_home() -> Path:
    """The folder that holds `notebooks/`: the working folder or a parent of it, else the library's checkout.

    Examples
    --------
    >>> import overround as ov
    >>> (ov.settings.project_home() / "notebooks").is_dir()
    True
    """
    here = Path.cwd()
    return _project_of((here, *here.parents, PACKAGE.parents[1])) or here


def settings_file() -> Path:
    """The project's `.env`, which may not exist; outside of a project the working folder's, if it has one.

    Examples
    --------
    >>> import overround as ov
    >>> ov.settings.settings_file().name
    '.env'
    """
    here = Path.cwd()
    if home := os.environ.get("OVERROUND_HOME"):
        return Path(expand_home(home)).absolute() / ".env"
    if project := _project_of((here, *here.parents)):
        return project / ".env"
    default = project_home() / ".env"
    return default if default.is_file() and not os.path.lexists(here / ".env") else here / ".env"


def expand_home(folder: str) -> str:
    """A folder with the home folder in place of a `~` at its beginning.

    Examples
    --------
    >>> import overround as ov
    >>> ov.settings.expand_home("~/odds").endswith("/odds"), ov.settings.expand_home("odds~1")
    (True, 'odds~1')
    """
    return os.path.expanduser(folder)  # noqa: PTH111  # `Path` fails where a folder has the name ~x


def _project_of(folders: Iterable[Path]) -> Path | None:
    """The first of these folders that holds `notebooks/`."""
    return next((one for one in folders if (one / "notebooks" / "backtest.ipynb").is_file()), None)


class _ProjectFile(DotEnvSettingsSource):
    """Lines of the project's `.env`; a relative folder begins there, whatever the working folder."""

    def __init__(self, settings_cls: type[BaseSettings]):
        self._file = settings_file()
        super().__init__(settings_cls, env_file=self._file)

    def __call__(self) -> dict[str, Any]:
        values = super().__call__()
        for name in _FOLDERS:
            given = values.get(name)
            if given and "://" not in given:
                values[name] = str(self._file.parent / expand_home(given))
        return values


class Settings(BaseSettings):
    """All settings; a field `x` is read from the environment variable `OVERROUND_X` or a line in `.env`.

    Examples
    --------
    >>> import overround as ov
    >>> ov.settings.Settings(store="s3://bucket/odds").store_root
    's3://bucket/odds'
    """

    model_config = SettingsConfigDict(env_prefix="OVERROUND_", extra="ignore", frozen=True)

    home: Path = Field(default_factory=project_home, description="folder that holds notebooks/")
    store: Annotated[str, NoDecode] = Field(
        "", description="root of the tables: a folder or an object-store URL"
    )
    store_timeout: float = Field(30, gt=0, description="seconds to wait for an answer of an object store")
    cache: Path | None = Field(None, description="folder of the HTTP cache")
    reports: Path | None = Field(None, description="folder of executed notebooks and rendered reports")
    football_data_url: str = Field("https://www.football-data.co.uk", pattern="^https?://")
    odds_api_url: str = Field("https://api.the-odds-api.com", pattern="^https?://")
    odds_api_key: SecretStr = Field(SecretStr(""), description="key of The Odds API; never written anywhere")
    live_ttl: float = Field(30, ge=0, description="seconds that a live answer stays fresh")
    scheduler: str = Field("", description="address of a Dask scheduler")
    memory_mb: float = Field(2_000, gt=0, description="memory that partitions may use at the same time, MB")
    batch_rows: int = Field(
        0, ge=0, le=1_000_000, description="rows that a collection gathers before storing them; 0: none"
    )
    fetch_workers: int = Field(4, ge=1, le=64, description="simultaneous calls to a provider")
    processes: int = Field(
        0, ge=0, le=1_000, description="processes that work on partitions; 0: one per core"
    )

    profile: bool = Field(
        True, description="whether runs are profiled, by sampling their calls a hundred times a second"
    )

    @field_validator(*_FOLDERS, mode="before")
    @classmethod
    def _in_the_home_folder(cls, value: Any) -> Any:
        """A `~` at the beginning of a folder is the home folder."""
        return expand_home(str(value)) if isinstance(value, str | Path) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the project's `.env` instead of the working folder's."""
        return init_settings, env_settings, _ProjectFile(settings_cls)

    @property
    def store_root(self) -> str:
        """The store's root: `store`, by default `data/store` under the project."""
        return self.store or str(self.home / "data" / "store")

    @property
    def cache_folder(self) -> Path:
        """The HTTP cache's folder: `cache`, by default `data/cache` under the project."""
        return self.cache or self.home / "data" / "cache"

    @property
    def sweeps_folder(self) -> Path:
        """The folder of finished parts of sweeps, beside the cache."""
        return self.cache_folder.parent / "sweeps"

    @property
    def reports_folder(self) -> Path:
        """The reports' folder: `reports`, by default `reports` under the project."""
        return self.reports or self.home / "reports"


def load_settings() -> Settings:
    """Read the current settings.

    Raises
    ------
    SettingsError
        A setting cannot be used; the message names the variable, its value (never that of a secret) and what
        is allowed.

    Examples
    --------
    >>> import overround as ov
    >>> ov.settings.load_settings().live_ttl >= 0
    True
    """
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        got = "a value" if "key" in field or "@" in str(first["input"]) else repr(first["input"])
        raise SettingsError(
            f"OVERROUND_{field.upper()} (environment or .env): {got} cannot be used, {first['msg'].lower()}."
        ) from None
    except (UnicodeDecodeError, OSError) as error:
        raise SettingsError(
            f"{settings_file().resolve()} cannot be read ({type(error).__name__}); "
            "a text file in UTF-8 is expected."
        ) from None
    _warn_of_readable_key(settings)
    return settings


@cache
def _warn_once(text: str) -> None:
    _log.warning(text)


def _warn_of_readable_key(settings: Settings) -> None:
    """Warn if `.env` holds a key and can be read by other users of this machine, which may be intended."""
    file = settings_file()
    if (
        os.name != "posix"
        or not settings.odds_api_key.get_secret_value()
        or "OVERROUND_ODDS_API_KEY" in os.environ
        or not file.is_file()
    ):
        return
    if file.stat().st_mode & 0o077:
        shown = ".env" if file.parent == Path.cwd() else shlex.quote(str(file))
        _warn_once(
            f"{file.resolve()} holds a key and can be read by others on this machine: chmod 600 {shown}"
        )
