"""What the runs left in `results/`: figures, lines to draw, the machine; and whether a figure keeps its target."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from benchmarks._report import RESULTS, Figure
from tests.services import postgres_binaries, valkey_binary

#: Points by the name of the line they belong to.
Lines = dict[str, list[tuple[float, float]]]

#: Such as `>= 30 x faster than count(*)`; without a sign it is a limit, as in `0`.
_TARGET = re.compile(r"(>=|<=|<)? ?([\d,.]*\d)(?: ([x×])(?!\S))?")
_MACHINE = RESULTS / "_machine.json"


class Target(NamedTuple):
    """What a figure should come to: a bound, from which side, and whether the figure's ratio or its value is meant."""

    bound: float
    at_least: bool
    of_ratio: bool


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and when the figures were measured."""

    day: str
    processor: str
    cores: int
    memory_gib: int
    system: str
    python: str
    servers: tuple[str, ...]


def figures(name: str) -> list[Figure]:
    """Return what a benchmark measured last, nothing where it never ran."""
    file = RESULTS / f"{name}.json"
    return [Figure(**figure) for figure in json.loads(file.read_text())] if file.exists() else []


def target(words: str) -> Target | None:
    """Return what the words promise; None where they promise nothing that numbers decide."""
    found = _TARGET.match(words)
    return found and Target(float(found[2].replace(",", "")), found[1] == ">=", found[3] is not None)


def is_kept(figure: Figure) -> bool | None:
    """Return whether a figure keeps its target; None where it has none."""
    promised = target(figure.target)
    if promised is None:
        return None
    measured = _measured(figure, promised)
    return measured >= promised.bound if promised.at_least else measured <= promised.bound


def times_kept(figure: Figure) -> float | None:
    """Return by which factor a figure keeps its target, below 1 where it does not; None where no factor can tell."""
    promised = target(figure.target)
    if promised is None or not (promised.bound and _measured(figure, promised)):
        return None
    measured = _measured(figure, promised)
    return measured / promised.bound if promised.at_least else promised.bound / measured


def _measured(figure: Figure, promised: Target) -> float:
    if not promised.of_ratio:
        return figure.value
    assert figure.ratio is not None, figure.figure
    return figure.ratio


def keep_lines(name: str, lines: Lines) -> None:
    """Write what a benchmark has to be drawn as lines."""
    rounded = {line: [(round(x, 2), round(y, 3)) for x, y in points] for line, points in lines.items()}
    _lines_file(name).write_text(json.dumps(rounded) + "\n")


def kept_lines(name: str) -> Lines:
    """Return the lines of a benchmark, none where it never ran."""
    file = _lines_file(name)
    return (
        {line: [(x, y) for x, y in points] for line, points in json.loads(file.read_text()).items()}
        if file.exists()
        else {}
    )


def _lines_file(name: str) -> Path:
    return RESULTS / f"_{name}.json"


def keep_machine() -> None:
    """Write down where this runs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    machine = Machine(
        day=f"{datetime.now(UTC):%-d %B %Y}",
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gib=round(memory / 2**30),
        system=f"{platform.system()} {platform.release().split('-')[0]}",
        python=platform.python_version(),
        servers=(_version(postgres_binaries() / "postgres"), _version(valkey_binary())),
    )
    _MACHINE.write_text(json.dumps(asdict(machine), indent=1) + "\n")


def kept_machine() -> Machine | None:
    """Return where the figures were measured."""
    return Machine(**json.loads(_MACHINE.read_text())) if _MACHINE.exists() else None


def _processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _version(program: Path) -> str:
    """Return a server's name and version, without how it was built."""
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, cwd="/").stdout
    found = re.search(r"\d+\.[\d.]*\d", told)
    assert found, told
    return f"{'PostgreSQL' if program.name == 'postgres' else 'Valkey'} {found[0]}"
