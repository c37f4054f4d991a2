"""Schemathesis, against the whole document: what it says is what the service does, whatever comes in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from laurels import keys
from laurels.settings import Settings
from tests.conftest import on_sqlite_alone
from tests.http.conftest import ACTOR
from tests.http.operations import operations, ready

EXAMPLES = 8
#: It has every key that it finds revoked and rotated; its own must last.
HOOKS = """
import os
import schemathesis

@schemathesis.hook
def before_call(context, case, kwargs):
    if case.path_parameters.get("key_id") == os.environ["OWN_KEY_ID"]:
        case.path_parameters["key_id"] = "another"
"""
#: Left out: a schema cannot say which codes there are in a catalog, what a cursor looks like, or who has how much.
LEFT_OUT = "positive_data_acceptance"


@pytest.fixture
def service_settings() -> Settings:
    # Streams that end by themselves, and soon: it reads each to its end.
    return Settings(serve_works=False, stream_heartbeat_s=0.05, stream_lasts_s_max=0.01)


@on_sqlite_alone
def test_the_service_does_what_its_document_says_whatever_comes_in(engine, url, client, tmp_path: Path):
    ready(engine)
    key = keys.create(engine, "schemathesis", ["admin"], actor=ACTOR)
    (tmp_path / "hooks.py").write_text(HOOKS)
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]
    options = {
        "--header": f"Authorization: Bearer {key.key}",
        "--exclude-checks": LEFT_OUT,
        "--max-examples": str(EXAMPLES),
        "--seed": "1",
        "--warnings": "off",
        "--generation-database": ":memory:",
    }
    flags = ["--continue-on-failure", "--no-shrink", "--no-color"]
    told = subprocess.run(
        [*command, *(word for option in options.items() for word in option), *flags],
        cwd=tmp_path,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(tmp_path), "OWN_KEY_ID": key.id},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    count = len(operations(client().get("/openapi.json").json()))
    assert f"Tested: {count}\n" in told.stdout
    generated = re.search(r"(\d+) generated, (\d+) passed", told.stdout)
    assert generated is not None, told.stdout
    assert int(generated[1]) > 20 * count
    assert client("admin").get("/v1/users").status_code == 200, "and lives on"
