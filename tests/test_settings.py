"""Where settings come from, which of them wins, and what is said of one that cannot be used."""

import os

import pytest

from laurels.core.errors import SettingInvalid
from laurels.settings import Settings, read_settings, variable


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder to be in, with none of this machine's settings around."""
    for name in [name for name in os.environ if name.upper().startswith("LAURELS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def problems(**flags):
    with pytest.raises(SettingInvalid) as caught:
        read_settings(**flags)
    return str(caught.value).splitlines()


def test_without_anything_every_setting_has_its_default():
    defaults = read_settings().model_dump()
    assert defaults == {name: field.default for name, field in Settings.model_fields.items()}
    assert (defaults["database_url"], defaults["host"], defaults["debug"]) == (
        "sqlite:///laurels.db",
        "127.0.0.1",
        False,
    )


def test_every_setting_says_what_it_does():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("flag", "environment", "file", "expected"),
    [
        pytest.param(
            "sqlite:///flag.db", "sqlite:///env.db", "sqlite:///file.db", "sqlite:///flag.db", id="flag-first"
        ),
        pytest.param(None, "sqlite:///env.db", "sqlite:///file.db", "sqlite:///env.db", id="then-the-variable"),
        pytest.param(None, None, "sqlite:///file.db", "sqlite:///file.db", id="then-the-file"),
        pytest.param(None, "", "sqlite:///file.db", "sqlite:///file.db", id="an-empty-variable-is-none"),
        pytest.param(None, None, None, "sqlite:///laurels.db", id="then-the-default"),
    ],
)
def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(
    flag, environment, file, expected, folder, monkeypatch
):
    if environment is not None:
        monkeypatch.setenv("LAURELS_DATABASE_URL", environment)
    if file is not None:
        (folder / "laurels.toml").write_text(f'database_url = "{file}"\n')
    assert read_settings(database_url=flag).database_url == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        pytest.param("DATABSE_URL", "x", "LAURELS_DATABSE_URL is not a setting; did you mean LAURELS_DATABASE_URL?"),
        pytest.param(
            "BUSY_TIMEOUT", "1", "LAURELS_BUSY_TIMEOUT is not a setting; did you mean LAURELS_BUSY_TIMEOUT_S?"
        ),
        pytest.param("BUSY_TIMEOUT_S", "many", "LAURELS_BUSY_TIMEOUT_S must be a number, not 'many'"),
        pytest.param("BUSY_TIMEOUT_S", "-1", "LAURELS_BUSY_TIMEOUT_S must be at least 0, not '-1'"),
        pytest.param("BUSY_TIMEOUT_S", "inf", "LAURELS_BUSY_TIMEOUT_S must be at most 3600, not 'inf'"),
        pytest.param("FUTURE_MAX_S", "1.5", "LAURELS_FUTURE_MAX_S must be a whole number, not '1.5'"),
        pytest.param(
            "FUTURE_MAX_S", "9" * 5000, "LAURELS_FUTURE_MAX_S must be a whole number, not '99999999", id="long"
        ),
        pytest.param("DEBUG", "maybe", "LAURELS_DEBUG must be true or false, not 'maybe'"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named_with_the_way_out(name, value, expected, monkeypatch):
    monkeypatch.setenv(f"LAURELS_{name}", value)
    (problem,) = problems()
    assert problem.startswith(expected)
    assert len(problem) < 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "databaseurl = 1", "laurels.toml: databaseurl is not a setting; did you mean database_url?", id="name"
        ),
        pytest.param("[web]\nport = 1", "laurels.toml: web is not a setting; known: database_url", id="table"),
        pytest.param("database_url = 3", "laurels.toml: database_url must be text, not '3'", id="not-text"),
        pytest.param('debug = "x"', "laurels.toml: debug must be true or false, not 'x'", id="not-true-or-false"),
        pytest.param(
            "future_max_s = 1.5", "laurels.toml: future_max_s must be a whole number, not '1.5'", id="not-whole"
        ),
        pytest.param("database_url = ?\n", "laurels.toml cannot be read: Invalid value (at line 1", id="no-toml"),
        pytest.param(b"\xff", "laurels.toml cannot be read: 'utf-8' codec", id="no-text"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_way_out(text, expected, folder):
    (folder / "laurels.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    (problem,) = problems()
    assert problem.startswith(expected)


def test_all_problems_come_at_once(folder, monkeypatch):
    monkeypatch.setenv("LAURELS_DATABSE_URL", "x")
    monkeypatch.setenv("LAURELS_DEBUG", "maybe")
    (folder / "laurels.toml").write_text('future_max_s = "soon"\nports = 1\n')
    assert [problem.split(" ")[0] for problem in problems()] == [
        "LAURELS_DATABSE_URL",
        "laurels.toml:",
        "LAURELS_DEBUG",
        "laurels.toml:",
    ]


def test_variables_of_the_projects_own_tests_are_no_settings(monkeypatch):
    monkeypatch.setenv("LAURELS_TEST_POSTGRESQL_URL", "postgresql://localhost")
    assert read_settings() == Settings()


def test_each_setting_has_its_variable():
    variables = {variable(name) for name in Settings.model_fields}
    assert {"LAURELS_DATABASE_URL", "LAURELS_REDIS_URL", "LAURELS_BUSY_TIMEOUT_S", "LAURELS_PORT"} < variables
