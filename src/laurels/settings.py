"""
Every setting, in one table: its name, type, default, and what it does.

A setting comes from a flag, else from its `LAURELS_…` variable, else from `laurels.toml` in the current folder, else it
has its default. A name that no setting has is an error, so that a typing mistake cannot silently mean the default.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from laurels.core.errors import SettingInvalid
from laurels.core.nearest import nearest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FILE = Path("laurels.toml")
PREFIX = "LAURELS_"
#: Variables that the project's own tests read: where to find real services.
TESTS_PREFIX = "LAURELS_TEST_"


_WANTED = {
    "float_parsing": "a number",
    "float_type": "a number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "finite_number": "a number",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "greater_than": "more than {gt:g}",
    "literal_error": "one of {expected}",
}


class Settings(BaseSettings):
    """What can be set; `read_settings` is the way to get it."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, toml_file=FILE, extra="forbid", frozen=True
    )

    database_url: str = Field(
        "sqlite:///laurels.db", description="The database: sqlite:///FILE or postgresql://USER@HOST/DATABASE."
    )
    redis_url: str = Field(
        "", description="Where leaderboards are kept: redis://HOST:6379/0. Empty keeps them in the database."
    )
    busy_timeout_s: float = Field(
        30.0, ge=0, le=3600, description="How long to wait for a database that another process is writing to."
    )
    future_max_s: int = Field(
        300, ge=0, le=86_400, description="How far an event's own time may lie after now, as clocks differ."
    )
    host: str = Field("127.0.0.1", description="Where `serve` listens; 0.0.0.0 for every network of the machine.")
    port: int = Field(8000, ge=0, le=65_535, description="The port that `serve` listens on; 0 for a free one.")
    workers: int = Field(1, ge=1, le=64, description="How many processes serve.")
    root_path: str = Field("", description="Under which path a proxy serves this, such as /laurels.")
    token_key: str = Field(
        "", repr=False, description="What users' tokens (JWT) are signed with: a secret, or a public key as PEM."
    )
    token_algorithm: Literal["HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"] = Field(
        "HS256", description="The one algorithm in which users' tokens are signed."
    )
    cors_origins: str = Field(
        "", description="Origins whose pages may call from browsers, separated by spaces, such as https://app.example."
    )
    rate_limit: str = Field(
        "10000/second", description="How often one key may call, such as 600/minute; empty for no limit."
    )
    body_bytes_max: int = Field(
        16 * 2**20, ge=1_024, description="How large a body may be; streams of events (NDJSON) may be larger."
    )
    body_pause_s_max: float = Field(30.0, gt=0, le=3_600, description="How long nothing of a body may come.")
    waiting_requests_max: int = Field(
        20_000, ge=1, description="How many requests may wait in a process to be recorded; beyond, callers get a 503."
    )
    serve_works: bool = Field(
        default=True, description="Let `serve` do what `worker` does as well; false where workers run beside it."
    )
    shutdown_timeout_s: float = Field(
        10.0, gt=0, le=600, description="How long calls under way may take to end when `serve` is told to stop."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="How `serve` logs: for people, or a JSON object a line; auto is json but on a terminal."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What `serve` logs; at warning and above it leaves out the line for each call."
    )
    stream_heartbeat_s: float = Field(
        15.0, gt=0, le=300, description="How often a live stream in which nothing happens shows that it is still there."
    )
    stream_lasts_s_max: float = Field(
        0.0, ge=0, description="After how long a live stream ends and its listener comes again; 0 for never."
    )
    webhooks_allow_private: bool = Field(
        default=False,
        description="Let webhooks go to private addresses and over plain HTTP too: for development, and for receivers "
        "inside of your own network.",
    )
    webhooks_backlog_max: int = Field(
        10_000, ge=1, description="How many messages may wait for one webhook; beyond, the oldest are dropped."
    )
    webhooks_keep_days: int = Field(
        30, ge=1, le=3_650, description="How long it is remembered how deliveries to webhooks went."
    )
    debug: bool = Field(default=False, description="Show where in the program an error came from.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Say where values come from, the strongest first."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def read_settings(**flags: Any) -> Settings:
    """
    Return the settings in force; a flag that is None was not given.

    Raises SettingInvalid with every problem at once, each under the name by which the value was given.
    """
    problems = list(_unknown_variables())
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as invalid:
        problems += [_problem(error) for error in invalid.errors(include_url=False)]
    except (OSError, ValueError) as error:
        problems.append(f"{FILE} cannot be read: {error}")
    if problems:
        raise SettingInvalid("\n".join(problems))
    return settings


def variable(name: str) -> str:
    """Return the environment variable that sets a setting."""
    return PREFIX + name.upper()


def _unknown_variables() -> Iterator[str]:
    for name in sorted(os.environ):
        setting = name.removeprefix(PREFIX).lower()
        if name.startswith(PREFIX) and not name.startswith(TESTS_PREFIX) and setting not in Settings.model_fields:
            # The nearest without the prefix: with it, all names look alike.
            yield f"{name} is not a setting; {_meant(setting, variable)}"


def _problem(error: ErrorDetails) -> str:
    name, found = str(error["loc"][0]), str(error["input"])
    if name not in Settings.model_fields:
        return f"{FILE}: {name} is not a setting; {_meant(name, str)}"
    where = variable(name) if variable(name) in os.environ else f"{FILE}: {name}"
    return f"{where} must be {_WANTED[error['type']].format(**error.get('ctx', {}))}, not {found!r:.60}"


def _meant(name: str, spelled: Callable[[str], str]) -> str:
    found = nearest(name, Settings.model_fields)
    return f"did you mean {spelled(found)}?" if found else f"known: {', '.join(map(spelled, Settings.model_fields))}"
