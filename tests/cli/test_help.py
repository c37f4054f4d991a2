"""The first thing that people see of the command line: what it can do, at once."""

import subprocess
import sys

import pytest

import laurels as package

COMMANDS = [
    "demo",
    "init",
    "serve",
    "catalog check",
    "catalog diff",
    "catalog apply",
    "catalog show",
    "catalog schema",
    "record",
    "explain",
    "users list",
    "users show",
    "users set",
    "leaderboard",
    "import events",
    "import stackexchange",
    "export",
    "boards rebuild",
    "keys create",
    "keys list",
    "keys rotate",
    "keys revoke",
    "worker",
    "doctor",
]
SLOW = {"sqlalchemy", "alembic", "pydantic_settings", "laurels.engine", "laurels.catalog_file"}


def test_help_lists_every_command_and_no_other(laurels):
    text = laurels("--help").out
    listed = {line.split()[1] for line in text.splitlines() if line.startswith("│ ") and line[2].isalpha()}
    assert listed == {command.split()[0] for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_does_and_gives_an_example(command, laurels):
    done = laurels(*command.split(), "--help")
    assert (done.code, done.err) == (0, "")
    example = [line for line in done.out.splitlines() if line.strip().startswith((f"laurels {command}", "echo"))]
    assert example or command == "init"


@pytest.mark.parametrize(
    "command",
    [
        "users list",
        "users show",
        "leaderboard",
        "catalog show",
        "catalog check",
        "catalog diff",
        "explain",
        "doctor",
        "keys list",
    ],
)
def test_every_command_that_reads_can_print_json(command, laurels):
    assert "--json" in laurels(*command.split(), "--help").out


def test_version(laurels):
    assert laurels("--version").out == f"laurels {package.__version__}\n"


@pytest.mark.parametrize("arguments", ["--help", "--version", "record --help"])
def test_what_is_slow_to_import_is_left_for_those_who_need_it(arguments):
    program = "import sys; from laurels.cli import app; app(sys.argv[1:], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments.split()], capture_output=True, text=True, check=True
    )
    assert SLOW.intersection(done.stdout.split()) == set()


def test_the_package_brings_nothing_before_it_is_asked_for():
    program = "import sys, laurels; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert [name for name in done.stdout.split() if name.startswith("laurels")] == ["laurels"]


def test_every_public_name_is_there_when_it_is_asked_for():
    assert [name for name in package.__all__ if getattr(package, name) is None] == []
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="'laurels' has no attribute 'engin'"):
        package.engin  # noqa: B018  asking is what is tried
