"""Users' tokens: one algorithm, one key, one claim; and the browsers that send them from other origins."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

import laurels
from laurels.core.errors import SettingInvalid
from laurels.http import create_app
from laurels.settings import Settings
from tests.conftest import on_sqlite_alone
from tests.http.conftest import serving

pytestmark = on_sqlite_alone
SECRET = "a secret of at least thirty-two bytes"  # as applications have one
ORIGIN = "https://app.example"
Get = Callable[[str], httpx.Response]


def pem(key: Any) -> tuple[str, str]:
    """A private key, and the public one as an operator would set it."""
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


RSA = pem(rsa.generate_private_key(65537, 2048))
PAIRS = {
    "HS256": (SECRET, SECRET),
    "RS256": RSA,
    "ES256": pem(ec.generate_private_key(ec.SECP256R1())),
    "EdDSA": pem(ed25519.Ed25519PrivateKey.generate()),
}


@pytest.fixture(params=PAIRS)
def algorithm(request) -> str:
    return str(request.param)


@pytest.fixture
def service_settings(request) -> Settings:
    name = request.getfixturevalue("algorithm") if "algorithm" in request.fixturenames else "HS256"
    return Settings(
        token_key=PAIRS[name][1], token_algorithm=name, cors_origins=f"{ORIGIN} https://b.example", serve_works=False
    )


@pytest.fixture
def get(engine: laurels.Engine, client) -> Get:
    """Read the profile of `ada` with a token."""
    engine.award_xp("ada", 1, request_id="r")
    stranger = client()
    return lambda token: stranger.get("/v1/users/ada", headers={"Authorization": f"Bearer {token}"})


def test_a_token_in_the_algorithm_that_is_set_is_taken_and_no_other(get, algorithm):
    for name, (private, _) in PAIRS.items():
        answer = get(jwt.encode({"sub": "ada"}, private, algorithm=name))
        assert answer.status_code == (200 if name == algorithm else 401), name
    another = pem(ec.generate_private_key(ec.SECP256R1()))[0] if algorithm == "ES256" else None
    if another:
        assert get(jwt.encode({"sub": "ada"}, another, algorithm="ES256")).status_code == 401
    token = jwt.encode({"sub": "ada"}, PAIRS[algorithm][0], algorithm=algorithm)
    head, body, signature = token.split(".")
    other = encoded({"sub": "bob"})
    for forged in (f"{head}.{other}.{signature}", f"{head}.{body}.", f"{head}.{body}", f"{head}.{body}.{signature}x."):
        assert get(forged).status_code == 401, forged


def test_a_token_that_nobody_signed_is_no_token(get):
    for name in ("none", "None", "NONE", "nOnE", "", "HS256 ", "hs256", "HS256"):
        head = encoded({"alg": name, "typ": "JWT"})
        assert get(f"{head}.{encoded({'sub': 'ada'})}.").status_code == 401, name


def test_a_public_key_signs_nothing(engine):
    """Whoever knows the public key (everybody may) must not sign with it as if it were a secret."""
    engine.award_xp("ada", 1, request_id="r")
    settings = Settings(token_key=RSA[1], token_algorithm="RS256", serve_works=False)
    with serving(create_app(engine, settings)) as url:
        for secret in (RSA[1], RSA[1].strip(), RSA[1].replace("\n", "")):
            for name, digest in (("HS256", hashlib.sha256), ("HS512", hashlib.sha512)):
                token = by_hand(secret, name, digest)
                answer = httpx.get(f"{url}/v1/users/ada", headers={"Authorization": f"Bearer {token}"})
                assert answer.status_code == 401


def test_a_token_is_good_from_its_beginning_to_its_end(get):
    now = time.time()
    assert get(signed(exp=now + 60, nbf=now - 60)).status_code == 200
    for claims in ({"exp": now - 1}, {"nbf": now + 60}, {"exp": "soon"}, {"exp": None, "nbf": "x"}, {"nbf": now + 1e6}):
        assert get(signed(**claims)).status_code == 401, claims


def test_a_token_that_names_no_user_is_nobodys(get):
    for sub in (None, 7, "", " ada", "a\u0000", "x" * 256, ["ada"], {"id": "ada"}, True):
        body = json.dumps({"sub": sub}).encode()
        assert get(jwt.api_jws.encode(body, SECRET, algorithm="HS256")).status_code == 401, sub


def test_a_token_without_a_subject_is_nobodys(get):
    for body in (b"{}", b'{"user": "ada"}', b'"ada"', b"[]", b"null", b"not json"):
        assert get(jwt.api_jws.encode(body, SECRET, algorithm="HS256")).status_code == 401, body


def test_what_else_a_token_says_means_nothing(get, client):
    token = signed(
        scopes=["admin"], scope="admin", role="admin", aud="another", iss="x", iat="never", jti=7, admin=True
    )
    assert get(token).status_code == 200
    them = client(token=token)
    assert them.get("/v1/users").status_code == 403
    assert them.get("/v1/users/bob").status_code == 403
    assert them.get("/v1/keys").status_code == 403


def test_where_a_token_says_its_key_lies_nobody_looks(get):
    theirs = rsa.generate_private_key(65537, 2048)
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(theirs.public_key(), as_dict=True)
    for headers in ({"jwk": jwk}, {"jku": "http://127.0.0.1:1/keys"}, {"kid": "../../dev/null"}, {"x5u": "file:///x"}):
        private = theirs.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        assert get(jwt.encode({"sub": "ada"}, private, algorithm="RS256", headers=headers)).status_code == 401
        assert get(by_hand("", "HS256", hashlib.sha256, **headers)).status_code == 401


def test_a_token_that_demands_what_nobody_here_understands_is_refused(get):
    assert get(jwt.encode({"sub": "ada"}, SECRET, algorithm="HS256", headers={"crit": ["zap"]})).status_code == 401


def test_without_a_key_for_them_no_tokens_are_taken(engine):
    engine.award_xp("ada", 1, request_id="r")
    with serving(create_app(engine, Settings(serve_works=False))) as url:
        for token in (signed(), by_hand("", "HS256", hashlib.sha256)):
            assert httpx.get(f"{url}/v1/users/ada", headers={"Authorization": f"Bearer {token}"}).status_code == 401


@pytest.mark.parametrize(
    ("name", "key"),
    [
        pytest.param("HS256", "swordfish", id="a secret that can be guessed"),
        pytest.param("HS512", "x" * 63, id="a secret shorter than its hash"),
        pytest.param("HS256", RSA[1], id="a public key as a secret"),
        pytest.param("RS256", SECRET, id="a secret as a public key"),
        pytest.param("ES256", RSA[1], id="a key of another kind"),
        pytest.param("EdDSA", PAIRS["ES256"][1], id="a curve of another kind"),
    ],
)
def test_a_key_that_fits_no_algorithm_is_told_before_anything_is_served(engine, name, key):
    with pytest.raises(SettingInvalid, match="token_key") as caught:
        create_app(engine, Settings(token_key=key, token_algorithm=name))
    assert key not in str(caught.value)


# --- Browsers ---------------------------------------------------------------------------------------------------------


def test_a_browser_asks_without_a_key_what_it_may_send(client):
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    asked = {"Access-Control-Request-Headers": "authorization, idempotency-key, content-type"}
    answer = client().options("/v1/users/ada/quests/x/claim", headers=preflight | asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in answer.headers, "keys travel in a header, never in cookies"


def test_a_page_sees_the_headers_that_it_needs_also_when_it_is_refused(client):
    them = client(token=signed())
    for path, status in (("/v1/leaderboards", 200), ("/v1/keys", 403), ("/v1/nothing", 404)):
        answer = them.get(path, headers={"Origin": ORIGIN})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        shown = {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")}
        assert {"ETag", "Idempotent-Replayed", "RateLimit", "RateLimit-Policy", "Retry-After"} <= shown
        assert "Origin" in answer.headers["vary"]
    stranger = client().get("/v1/users", headers={"Origin": ORIGIN})
    assert (stranger.status_code, stranger.headers["access-control-allow-origin"]) == (401, ORIGIN)


def test_another_origin_is_told_nothing(client):
    for origin in ("https://evil.example", "https://app.example.evil.example", "http://app.example", "null"):
        answer = client(token=signed()).get("/v1/leaderboards", headers={"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers
        preflight = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        assert "access-control-allow-origin" not in client().options("/v1/users", headers=preflight).headers


def test_no_origin_is_let_in_unless_it_is_set(engine):
    with serving(create_app(engine, Settings(serve_works=False))) as url:
        preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
        asked = httpx.options(f"{url}/v1/users", headers=preflight)
        assert asked.status_code == 401
        assert not [name for name in asked.headers if name.startswith("access-control")]
        got = httpx.get(f"{url}/healthz", headers={"Origin": ORIGIN})
        assert "access-control-allow-origin" not in got.headers


def signed(**claims: object) -> str:
    return jwt.encode({"sub": "ada", **claims}, SECRET, algorithm="HS256")


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def by_hand(secret: str, name: str, digest, **headers: object) -> str:
    """A token signed in a way that no library does."""
    start = f"{encoded({'alg': name, 'typ': 'JWT'} | headers)}.{encoded({'sub': 'ada'})}"
    signature = hmac.new(secret.encode(), start.encode(), digest).digest()
    return f"{start}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
