"""The guide's programs do what it says: they know a message of ours, and refuse one that is not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import httpx

from docs import examples
from laurels.settings import Settings
from laurels.webhooks import endpoints
from laurels.webhooks.deliverer import Deliverer
from tests.conftest import on_sqlite_alone
from tests.http.conftest import serving
from tests.webhooks.conftest import PRIVATE

GUIDE = Path(__file__).parents[2] / "docs/webhooks.md"
RECEIVER, BY_HAND = (block.text for block in examples.blocks(GUIDE.read_text()) if block.language == "python")


def run(program):
    names = {}
    exec(program, names)
    return names


@on_sqlite_alone
def test_the_receiver_of_the_guide_takes_our_messages_and_nobody_elses(
    open_engine, clock, receive, monkeypatch, capsys
):
    clock.now = datetime.now(UTC)
    engine = open_engine()
    other = endpoints.create(engine, PRIVATE, receive().url, actor="tests")
    monkeypatch.setenv("LAURELS_WEBHOOK_SECRET", other.secret)
    with serving(run(RECEIVER)["app"]) as url:
        endpoint = endpoints.create(engine, PRIVATE, f"{url}/laurels", actor="tests", types=["level.*"])
        endpoints.remove(engine, other.id, actor="tests")
        engine.award_xp("ada", 100, request_id="r1")
        deliverer = Deliverer(engine, Settings(webhooks_allow_private=True), dice=lambda: 0.0)
        assert deliverer.run_once().failed == 1  # Signed with another secret than the program knows.
    monkeypatch.setenv("LAURELS_WEBHOOK_SECRET", endpoint.secret)
    with serving(run(RECEIVER)["app"]) as url:
        endpoints.change(engine, PRIVATE, endpoint.id, {"url": f"{url}/laurels"}, actor="tests")
        assert deliverer.run_once().delivered == 1
        assert httpx.post(f"{url}/laurels", json={"type": "level.reached"}).status_code == 401
    deliverer.close()
    assert capsys.readouterr().out == "level.reached ada\n"


@on_sqlite_alone
def test_a_message_can_be_verified_by_hand(open_engine, clock, receive):
    clock.now = datetime.now(UTC)
    engine, receiver = open_engine(), receive()
    endpoint = endpoints.create(engine, PRIVATE, receiver.url, actor="tests")
    rotated = endpoints.rotate_secret(engine, endpoint.id, overlap_s=60, actor="tests")
    engine.award_xp("ada", 1, request_id="r1")
    deliverer = Deliverer(engine, Settings(webhooks_allow_private=True))
    deliverer.run_once()
    deliverer.close()
    is_ours = run(BY_HAND)["is_ours"]
    message = receiver.came[0]
    assert is_ours(endpoint.secret, message.headers, message.body)
    assert is_ours(rotated.secret, message.headers, message.body)
    assert not is_ours(rotated.secret, message.headers, message.body + b" ")
    assert not is_ours(rotated.secret, message.headers | {"webhook-id": "msg_1"}, message.body)
    old = str(int(message.headers["webhook-timestamp"]) - 1_000)
    assert not is_ours(rotated.secret, message.headers | {"webhook-timestamp": old}, message.body)
