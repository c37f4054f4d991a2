"""Peak memory of `laurels import events` for a small and a large file: it must not grow with the file."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._report import Figure, report
from benchmarks._workload import events

SIZES = (10_000, 1_000_000)
USERS = 10_000
IMPORT = (
    "import resource, sys; from laurels.cli import main; sys.argv = ['laurels', *sys.argv[1:]]\n"
    "try: main()\n"
    "finally: print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
)


def main() -> None:
    """Measure and report."""
    peaks = {size: peak_mib(size) for size in SIZES}
    small, large = (peaks[size] for size in SIZES)
    report(
        "memory",
        [
            Figure(
                figure=f"peak memory of importing {SIZES[1]:,} events",
                value=large,
                unit="MiB",
                floor=small,
                ratio=large / small,
                target=f"as for {SIZES[0]:,} events",
                method=f"largest resident set of the whole `laurels import events` process, {USERS:,} users, SQLite, "
                "boards included",
            )
        ],
    )


def peak_mib(size: int) -> float:
    """Return the largest resident set of importing a file of so many events, in MiB."""
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent, prefix=".run-") as folder:
        path = Path(folder) / "events.jsonl"
        with path.open("w") as file:
            for event in events(size, users=USERS):
                row = {"id": event.id, "type": event.type, "user": event.user, "time": event.time.isoformat()}
                file.write(json.dumps(row | ({"data": event.data} if event.data else {})) + "\n")
        done = subprocess.run(
            [sys.executable, "-c", IMPORT, "import", "events", str(path), "--database", f"sqlite:///{folder}/bench.db"],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        peaks = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("peak ")]
        if done.returncode not in (0, None) or not peaks:
            raise SystemExit(done.stderr)
        return int(peaks[-1]) / 1024


if __name__ == "__main__":
    main()
