"""
As much of curl as the pages use, for machines that have none: what pages show is followed everywhere.

`-s -i -X -H --json --data-binary`, in the same words and with the same output.
"""

# ruff: noqa: INP001  a script beside the pages that are followed with it, not a package

from __future__ import annotations

import argparse
import http.client
import sys
from pathlib import Path
from urllib.parse import urlsplit


def main() -> None:
    """Send what was asked for, and print what came."""
    parser = argparse.ArgumentParser("curl", allow_abbrev=False)
    parser.add_argument("url")
    parser.add_argument("-s", "--silent", action="store_true")
    parser.add_argument("-i", "--include", action="store_true")
    parser.add_argument("-X", "--request")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("--json")
    parser.add_argument("--data-binary")
    asked = parser.parse_args()
    headers = {} if asked.json is None else {"Content-Type": "application/json", "Accept": "application/json"}
    headers |= dict(line.split(": ", 1) for line in asked.header)
    given = asked.data_binary if asked.json is None else asked.json
    body = None if given is None else Path(given[1:]).read_bytes() if given.startswith("@") else given.encode()
    url = urlsplit(asked.url)
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
    target = url.path + (f"?{url.query}" if url.query else "")
    connection.request(asked.request or ("GET" if body is None else "POST"), target, body, headers)
    answer = connection.getresponse()
    if asked.include:
        lines = [
            f"HTTP/1.1 {answer.status} {answer.reason}",
            *(f"{name}: {value}" for name, value in answer.getheaders()),
        ]
        sys.stdout.write("\n".join(lines) + "\n\n")
        sys.stdout.flush()
    sys.stdout.buffer.write(answer.read())


if __name__ == "__main__":
    main()
