"""What the tests of the command line share: `laurels(…)`, run in an empty folder of its own."""

import json
import os
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from laurels.cli import app


@dataclass
class Done:
    """What a command left behind: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to be in, with none of this machine's settings around, and room for long lines."""
    for name in [name for name in os.environ if name.upper().startswith("LAURELS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def laurels(folder):
    """Run `laurels` with these arguments, in this process."""

    def run(*arguments, stdin=None):
        result = CliRunner().invoke(app, list(arguments), input=stdin, prog_name="laurels")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return run
