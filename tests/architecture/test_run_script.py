"""The parts of ./run that can be tried without making an environment."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments):
    command = [sys.executable, ROOT / "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"]], ids=["alone", "option", "word"])
def test_run_lists_its_commands(arguments):
    done = run(*arguments)
    commands = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert (done.returncode, commands) == (0, ["demo", "test", "lint", "docs", "bench", "laurels", "lock"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["tset"], "Did you mean 'test'?", id="near-a-command"),
        pytest.param(["xyzzy"], "Known: demo, test,", id="near-nothing"),
        pytest.param(["lint", "--fxi"], "lint takes --fix or nothing", id="argument-of-lint"),
        pytest.param(["bench", "nothing-like-it"], "no benchmark is named 'nothing-like-it'", id="benchmark"),
    ],
)
def test_a_wrong_call_is_explained(arguments, expected):
    done = run(*arguments)
    assert done.returncode == 2
    assert expected in done.stderr


def test_ci_runs_what_people_run():
    assert (ROOT / ".ci/run").read_text().rstrip().endswith("exec ./run test")
