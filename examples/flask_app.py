"""
Laurels inside of a Flask application: an after-request hook records what the request did.

    pip install laurels flask
    flask --app examples/flask_app run --port 8000

    curl -X POST localhost:8000/posts -H 'Content-Type: application/json' -d '{"author": "ada", "title": "Hello"}'
    curl localhost:8000/users/ada
"""

import atexit
import os
from itertools import count

from flask import Flask, Response, abort, g, request

import laurels

engine = laurels.open(os.environ.get("DATABASE_URL", "sqlite:///flask_app.db"))
atexit.register(engine.close)

app = Flask(__name__)
posts: dict[int, dict[str, str]] = {}  # A database, in an application that is meant.
numbers = count(1)


@app.post("/posts")
def publish() -> tuple[dict[str, int], int]:
    """Publish a post."""
    number = next(numbers)
    posts[number] = request.get_json()
    author = posts[number]["author"]
    # The id is made of what happened, not of the request: recorded again, it counts once.
    g.happened = laurels.Event("post.created", user=author, id=f"post-{number}", data={"published": True})
    return {"number": number}, 201


@app.after_request
def record(response: Response) -> Response:
    """Record what a request did, if it did something and went well. The post is there whether this works or not."""
    event = g.pop("happened", None)
    if event is not None and response.status_code < 400:  # noqa: PLR2004  all that went wrong is above
        try:
            outcome = engine.record(event)
        except laurels.LaurelsError:
            app.logger.exception("%s of %s is not recorded yet; record it again", event.id, event.user)
        else:
            response.headers["X-Earned"] = ", ".join(change.type for change in outcome.changes)
    return response


@app.get("/users/<name>")
def show(name: str) -> dict[str, str | int]:
    """Show somebody's level."""
    try:
        profile = engine.profile(name)
    except laurels.LaurelsError as error:
        abort(404, str(error))
    return {"name": name, "level": profile.level, "xp": profile.xp, "posts": profile.metrics["posts"]}
