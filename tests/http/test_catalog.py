"""The catalog over HTTP: read, checked, applied by whoever read it last, and in force everywhere within a second."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

import laurels
from laurels.catalog_file import load_catalog
from laurels.http import create_app
from laurels.settings import Settings
from tests.conftest import on_sqlite_alone
from tests.http.conftest import serving

CATALOG = {
    "catalog": {"name": "Shop"},
    "currencies": {"coin": {"name": "Coins"}},
    "rules": [{"id": "buy", "on": "order.placed", "xp": 7, "reward": {"coin": 2}}],
}
BAD = {
    "catalog": {"name": "Bad", "timezone": "Nowhere/Else"},
    "rules": [{"id": "buy", "on": "order placed", "xp": "many"}, {"id": "buy", "reward": {"gold": 1}}],
    "achievements": [{"code": "A", "when": {"nothing": 1}}],
}


@pytest.fixture
def service_settings() -> Settings:
    return Settings(serve_works=False)


@on_sqlite_alone
def test_the_catalog_is_read_with_its_tag_and_not_sent_again_to_who_has_it(client):
    reader = client("read")
    first = reader.get("/v1/catalog")
    assert first.status_code == 200
    assert first.json()["catalog"]["name"] == load_catalog("community").name
    tag = first.headers["etag"]
    for header in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = reader.get("/v1/catalog", headers={"If-None-Match": header})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), header
    assert reader.get("/v1/catalog", headers={"If-None-Match": '"other"'}).status_code == 200


@on_sqlite_alone
def test_what_is_read_can_be_put_back_and_changes_nothing(api):
    read = api.get("/v1/catalog")
    put = api.put("/v1/catalog", json=read.json(), headers={"If-Match": read.headers["etag"]})
    assert (put.status_code, put.headers["etag"]) == (200, read.headers["etag"])
    assert [act["action"] for act in api.get("/v1/audit").json()["items"]] == ["key.created"]


@on_sqlite_alone
def test_of_two_who_changed_the_same_catalog_the_second_is_told_so(api):
    tag = api.get("/v1/catalog").headers["etag"]
    first = api.put("/v1/catalog", json=CATALOG, headers={"If-Match": tag})
    assert first.status_code == 200
    assert first.json() == {"revision": 2, "name": "Shop"}
    second = api.put("/v1/catalog", json={**CATALOG, "catalog": {"name": "Mine"}}, headers={"If-Match": tag})
    assert (second.status_code, second.json()["code"]) == (412, "catalog_moved")
    assert second.headers["etag"] == first.headers["etag"] == api.get("/v1/catalog").headers["etag"]
    assert api.get("/v1/catalog").json()["catalog"]["name"] == "Shop"
    act = api.get("/v1/audit").json()["items"][0]
    assert (act["action"], act["target"], act["detail"]) == ("catalog.applied", "2", {"name": "Shop", "revision": 2})


def test_of_many_at_once_one_applies_what_it_changed(api):
    tag = api.get("/v1/catalog").headers["etag"]
    trees = [{**CATALOG, "catalog": {"name": f"Shop {number}"}} for number in range(8)]
    with ThreadPoolExecutor(len(trees)) as pool:
        answers = pool.map(lambda tree: api.put("/v1/catalog", json=tree, headers={"If-Match": tag}), trees)
        assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    assert api.get("/v1/catalog").headers["laurels-revision"] == "2"


def test_another_process_decides_by_a_new_catalog_within_a_second(database_url, api, service_settings):
    with laurels.open(database_url) as other, serving(create_app(other, service_settings)) as other_url:
        headers = {"Authorization": api.headers["authorization"]}
        with httpx.Client(base_url=other_url, headers=headers) as there:
            old = there.get("/v1/catalog").headers["etag"]
            assert api.put("/v1/catalog", json=CATALOG).status_code == 200
            time.sleep(1)
            assert there.get("/v1/catalog").headers["etag"] != old
            order = {"id": "o1", "type": "order.placed", "user": "ada"}
            assert there.post("/v1/events", json=order).json()["outcomes"][0]["changes"][0]["amount"] == 7
            assert there.get("/v1/users/ada").json()["balances"].keys() == {"coin"}


@on_sqlite_alone
def test_every_mistake_in_a_catalog_is_told_with_its_place_and_nothing_is_applied(api):
    before = api.get("/v1/catalog")
    refused = api.put("/v1/catalog", json=BAD)
    assert (refused.status_code, refused.json()["code"]) == (422, "catalog_invalid")
    told = {error["path"] for error in refused.json()["errors"]}
    assert {"catalog.timezone", "rules[0].xp"} <= told
    assert any(path.startswith("rules[1]") for path in told)
    checked = api.post("/v1/catalog/check", json=BAD)
    assert checked.status_code == 200
    assert checked.json() == {"valid": False, "problems": refused.json()["errors"]}
    assert api.post("/v1/catalog/check", json=CATALOG).json() == {"valid": True, "problems": []}
    assert api.get("/v1/catalog").headers["etag"] == before.headers["etag"]


@on_sqlite_alone
def test_a_catalog_file_can_be_sent_as_it_is(api):
    toml = '[catalog]\nname = "From a file"\n'
    sent = api.put("/v1/catalog", content=toml, headers={"Content-Type": "application/toml"})
    assert sent.json()["name"] == "From a file"
    assert api.get("/v1/catalog").json()["catalog"]["name"] == "From a file"
    broken = api.post("/v1/catalog/check", content="[catalog\n", headers={"Content-Type": "application/toml"})
    assert broken.json()["valid"] is False
    assert api.put("/v1/catalog", content=b"\xff", headers={"Content-Type": "application/toml"}).status_code == 400
    assert api.put("/v1/catalog", content=toml, headers={"Content-Type": "text/plain"}).status_code == 415
