"""
The commands and programs that the pages show, run as a reader would run them.

A fenced block with `title="catalog.toml"` is a file, one with `title="catalog.toml, at its end"` goes on with it. A
`console` block holds commands, each behind a `$`, and what they print. A line that is only `…` stands for any number of
lines, one that ends with `…` for any rest of the line. A command without any output below it only has to succeed.
"""

# ruff: noqa: INP001  a script beside the pages it reads, not a package

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parents[1] / "src"
CURL = Path(__file__).parent / "curl.py"
APPENDED = ", at its end"
ANYTHING = "…"
TIMEOUT_S = 120

#: What `laurels serve` says on a new database: a first key, and where it answers.
_FIRST_KEY = re.compile(r"^(lrl_\w+)$", re.MULTILINE)
_ANSWERS = re.compile(r"^Laurels answers at (http://[^\s,]+)", re.MULTILINE)
_MAKE_KEY = (
    'curl -s $LAURELS/v1/keys -H "Authorization: Bearer $ADMIN_KEY"'
    """ --json '{"name": "backend", "scopes": ["ingest", "wallet", "read"]}'"""
)

#: What an installed `laurels` does. Processes that serve beside the first one import it again.
_START = """
import sys
from laurels.cli import main
if __name__ == "__main__":
    sys.argv[0] = "laurels"
    main()
"""

_FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its title (empty for none), its text, and where in the page the text stands."""

    language: str
    title: str
    text: str
    start: int


@dataclass(frozen=True)
class Example:
    """A command, and the lines it should print; none where the page shows nothing."""

    command: str
    expected: tuple[str, ...]


class Folder:
    """
    A reader's folder: what they have saved there so far. `laurels` and `python` are those of this checkout.

    Where there is no curl, `curl.py` stands in for it, as it does for `curl=None`.
    """

    def __init__(self, path: Path, *, curl: str | None = shutil.which("curl")) -> None:
        self.path = path
        programs = path / ".programs"
        programs.mkdir(exist_ok=True)
        _program(programs / "laurels", shlex.join([sys.executable, str(programs / "start.py")]))
        _program(programs / "python", shlex.quote(sys.executable))
        if curl is None:
            _program(programs / "curl", shlex.join([sys.executable, str(CURL)]))
        (programs / "start.py").write_text(_START)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LAURELS_")}
        search = f"{programs}{os.pathsep}{kept['PATH']}"
        self._environment = kept | {"PATH": search, "PYTHONPATH": str(SOURCE), "COLUMNS": "100", "TERM": "dumb"}

    def save(self, block: Block) -> None:
        """Write a block to the file its title names, or to the end of it."""
        file = self.path / block.title.removesuffix(APPENDED)
        before = file.read_text(encoding="utf-8") + "\n" if block.title.endswith(APPENDED) else ""
        file.write_text(before + block.text, encoding="utf-8")

    def run(self, command: str) -> tuple[int, list[str]]:
        """Run a command as a shell does; return its exit code and the lines it prints, errors among them."""
        done = subprocess.run(  # noqa: S603  the commands are our own pages'
            ["/bin/sh", "-c", command],
            cwd=self.path,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return done.returncode, [line.rstrip() for line in done.stdout.rstrip().splitlines()]

    @contextmanager
    def serving(self, command: str = "laurels serve --port 0", **settings: str) -> Iterator[None]:
        """
        Let `laurels serve` run here until it is told to stop, which it must do as if nothing had happened.

        What the pages tell readers to export is exported: its address as LAURELS and, of a database that it made, its
        first key as ADMIN_KEY and a key for a backend as KEY.
        """
        log = self.path / ".programs/log"
        with log.open("wb") as output:
            server = subprocess.Popen(  # noqa: S603  the commands are our own pages'
                ["/bin/sh", "-c", f"exec {command}"],
                cwd=self.path,
                env=self._environment | settings | {"PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            ends_at = time.monotonic() + TIMEOUT_S
            while (address := _ANSWERS.search(log.read_text(encoding="utf-8"))) is None:
                if server.poll() is not None or time.monotonic() > ends_at:
                    raise RuntimeError(log.read_text(encoding="utf-8"))
                time.sleep(0.05)
            self._environment |= settings | {"LAURELS": address[1]}
            if first := _FIRST_KEY.search(log.read_text(encoding="utf-8")):
                self._environment["ADMIN_KEY"] = first[1]
                _, [made] = self.run(_MAKE_KEY)
                self._environment["KEY"] = json.loads(made)["key"]
            yield
        finally:
            server.terminate()
            code = server.wait(TIMEOUT_S)
        if code != 0:
            raise RuntimeError(log.read_text(encoding="utf-8"))


def _program(path: Path, command: str) -> None:
    path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    path.chmod(0o755)


def blocks(page: str) -> Iterator[Block]:
    """Yield a page's fenced blocks in order."""
    for found in _FENCE.finditer(page):
        yield Block(found[1], found[2] or "", found[3], found.start(3))


def examples(text: str) -> list[Example]:
    """Return the commands of a console block; a command goes on in the next line after a backslash."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if found and found[-1][0].endswith("\\") and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line}", [])
        elif line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        else:
            found[-1][1].append(line.rstrip())
    return [Example(command, tuple(_trimmed(lines))) for command, lines in found]


def differences(page: str, reader: Folder) -> Iterator[str]:
    """Follow a page from its beginning in an empty folder; yield what does not come out as it says."""
    for block in blocks(page):
        if block.title:
            reader.save(block)
        for example in examples(block.text) if block.language == "console" else ():
            code, lines = reader.run(example.command)
            if code != 0 if not example.expected else not matches(example.expected, lines):
                shown = "\n".join((*(f"- {line}" for line in example.expected), *(f"+ {line}" for line in lines)))
                yield f"$ {example.command}\n{shown}"


def refreshed(page: str, reader: Folder) -> str:
    """Return the page with the output of every command that prints something else now."""
    rest, parts = 0, []
    for block in blocks(page):
        if block.title:
            reader.save(block)
        if block.language == "console":
            parts += [page[rest : block.start], "".join(_refreshed(reader, one) for one in examples(block.text))]
            rest = block.start + len(block.text)
    return "".join((*parts, page[rest:]))


def _refreshed(reader: Folder, example: Example) -> str:
    _, lines = reader.run(example.command)
    kept = not example.expected or matches(example.expected, lines)
    return "\n".join((f"$ {example.command}", *(example.expected if kept else lines))) + "\n"


def matches(expected: tuple[str, ...], lines: list[str]) -> bool:
    """Say whether lines are those expected."""
    pattern = "".join(r"(?:.*\n)*" if line == ANYTHING else _line_pattern(line) + r"\n" for line in expected)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)) is not None


def _line_pattern(line: str) -> str:
    return re.escape(line.removesuffix(ANYTHING)) + (".*" if line.endswith(ANYTHING) else "")


def _trimmed(lines: list[str]) -> list[str]:
    while lines and not lines[-1]:
        lines = lines[:-1]
    return lines
