"""A client that openapi-python-client makes of the running service's document, and what can be done through it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from laurels import keys
from laurels.settings import Settings
from tests.conftest import on_sqlite_alone
from tests.http.conftest import ACTOR
from tests.http.operations import of_api

pytestmark = on_sqlite_alone
PACKAGE = "laurels_made_client"


@pytest.fixture
def service_settings() -> Settings:
    return Settings(serve_works=False)


@pytest.fixture
def made(url, engine, tmp_path: Path, monkeypatch):
    """The package that was made, and a client of its that has a key."""
    (tmp_path / "config.yaml").write_text("post_hooks: []\n")  # It is read by nobody, so it need not be pretty.
    command = ["-m", "openapi_python_client", "generate", "--url", f"{url}/openapi.json", "--meta", "none"]
    told = subprocess.run(
        [sys.executable, *command, "--config", "config.yaml", "--output-path", PACKAGE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "ERROR" not in told.stdout
    monkeypatch.syspath_prepend(tmp_path)
    key = keys.create(engine, "made", ["admin"], actor=ACTOR)
    package = importlib.import_module(PACKAGE)
    with package.AuthenticatedClient(base_url=url, token=key.key) as client:
        yield SimpleNamespace(client=client, models=importlib.import_module(f"{PACKAGE}.models"))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def call(made: SimpleNamespace, operation: str, *path: str, **given: Any) -> Any:
    """Call an operation, `tag.id`, and return what the client makes of the answer."""
    return importlib.import_module(f"{PACKAGE}.api.{operation}").sync(*path, client=made.client, **given)


def test_a_client_that_was_made_of_the_document_records_reads_spends_and_pages(made, url, engine):
    models = made.models
    _has_a_function_for_each_operation(httpx.get(f"{url}/openapi.json").json())

    event = models.Event.from_dict({"id": "e1", "type": "post.created", "user": "ada/1", "data": {"published": True}})
    outcomes = call(made, "events.record_events", body=event)
    assert outcomes.outcomes[0].status == "applied"
    assert isinstance(outcomes.outcomes[0].changes[0], models.XpAwarded)

    profile = call(made, "users.read_user", "ada/1")
    assert isinstance(profile, models.Profile)
    assert (profile.user_id, profile.level) == ("ada/1", engine.profile("ada/1").level)
    assert profile.metrics["posts"] == 1
    available = profile.balances["sparkle"].available

    problem = call(
        made, "wallet.spend", "ada/1", "sparkle", body=models.Spending(amount=10_000), idempotency_key="order"
    )
    assert isinstance(problem, models.ProblemDetails)
    assert (problem.status, problem.code, problem.available) == (409, "insufficient_funds", available)

    for number in range(25):
        award = models.Award(amount=number + 1, source="tests")
        call(made, "wallet.award_xp", "ada/1", body=award, idempotency_key=f"award-{number}")
    amounts, cursor = [], ""
    while cursor is not None:
        page = call(made, "users.read_ledger", "ada/1", unit="xp", limit=10, cursor=cursor)
        amounts += [entry.amount for entry in page.items if entry.request_id.startswith("award")]
        cursor = page.next_cursor
    assert [amount for amount in amounts if amount <= 25][:25] == list(range(25, 0, -1))

    board = call(made, "leaderboards.read_leaderboard", "xp")
    assert [(line.rank, line.user_id) for line in board.items] == [(1, "ada/1")]


def _has_a_function_for_each_operation(document: dict[str, Any]) -> None:
    for operation in of_api(document):
        tag = operation.declared["tags"][0]
        assert callable(importlib.import_module(f"{PACKAGE}.api.{tag}.{operation.id}").sync), operation
