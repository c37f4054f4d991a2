"""The examples of Laurels inside of other frameworks do what they say."""

from pathlib import Path

import httpx
import pytest

import laurels
from laurels import keys

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_fastapi_application_records_and_serves_the_api_below_a_path(start, tmp_path):
    app = start("-m", "uvicorn", "--app-dir", f"{EXAMPLES}", "--port", "{port}", "fastapi_app:app")
    answer = app.post("/posts", json={"author": "ada", "title": "Hello"})
    assert answer.status_code == 201
    assert "xp.awarded" in answer.json()["earned"]
    assert app.get("/users/nobody").status_code == 404

    with laurels.open(f"sqlite:///{tmp_path}/fastapi_app.db") as engine:
        key = keys.create(engine, "test", ["read"], actor="tests").key
    shown = app.get("/users/ada").json()
    told = app.get("/laurels/v1/users/ada", headers={"Authorization": f"Bearer {key}"}).json()
    assert (shown["level"], shown["xp"], shown["posts"]) == (told["level"], told["xp"], 1)
    assert app.get("/laurels/v1/users/ada").status_code == 401
    assert app.get("/laurels/docs").status_code == 200


def test_a_flask_application_records_after_each_request_that_did_something(start):
    app = start("-m", "flask", "--app", f"{EXAMPLES}/flask_app", "run", "--port", "{port}")
    answer = app.post("/posts", json={"author": "ada", "title": "Hello"})
    assert answer.status_code == 201
    assert "xp.awarded" in answer.headers["X-Earned"]
    assert app.post("/posts", content="no JSON").status_code == 415
    assert app.get("/users/ada").json()["posts"] == 1
    assert app.get("/users/nobody").status_code == 404


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_django_application_records_with_what_it_saves(start, database, request):
    environment = {"DATABASE_URL": request.getfixturevalue("postgres_url")} if database == "postgresql" else {}
    app = start(f"{EXAMPLES}/django_app.py", "runserver", "--noreload", "127.0.0.1:{port}", **environment)
    publish(app, "First", status=201)
    assert app.get("/users/ada").json()["posts"] == 1

    publish(app, "Second", "First", status=500)  # There is one of that title, so the request is rolled back.
    assert app.get("/users/ada").json()["posts"] == 1
    publish(app, "Second", "Third", status=201)
    assert app.get("/users/ada").json()["posts"] == 3
    assert app.get("/users/nobody").status_code == 404


def publish(app: httpx.Client, *titles: str, status: int) -> None:
    assert app.post("/posts", json={"author": "ada", "titles": titles}).status_code == status
