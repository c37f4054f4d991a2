"""What a browser gets, and how answers travel."""

from __future__ import annotations

import re

import httpx

from tests.conftest import on_sqlite_alone

pytestmark = on_sqlite_alone


def test_the_pages_ask_nothing_of_any_other_host(url):
    page = httpx.get(f"{url}/", follow_redirects=True)
    assert page.url.path == "/docs"
    loaded = re.findall(r"""(?:src|href|url)\s*[=:]\s*['"]([^'"]+)['"]""", page.text)
    assert {"/openapi.json", "/docs/static/swagger-ui-bundle.js", "/docs/static/swagger-ui.css"} <= set(loaded)
    for path in loaded:
        assert path.startswith("/")
        assert httpx.get(url + path).status_code == 200
    assert page.headers["content-security-policy"].startswith("default-src 'self'")


def test_long_answers_are_packed_for_those_who_unpack_them(api, engine):
    for number in range(30):
        engine.award_xp(f"user-{number}", 1, request_id="r")
    packed = api.get("/v1/users")
    plain = api.get("/v1/users", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert "content-encoding" not in api.get("/healthz").headers
