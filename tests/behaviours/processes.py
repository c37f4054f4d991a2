"""Other processes on the same database: small programs that tests start beside themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import laurels

SOURCE = Path(laurels.__file__).parents[1]


def start(program: str, *arguments: object, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start a Python program with its arguments; `before` is a command that starts it in its turn, such as setpriv."""
    return subprocess.Popen(
        [*before, sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> list[str]:
    """Wait for a program's end and return the lines it printed; its error is the test's."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.splitlines()
