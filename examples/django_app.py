"""
Laurels inside of a Django application: saving a post records an event.

    pip install laurels django
    python examples/django_app.py runserver --noreload

    curl -X POST localhost:8000/posts -H 'Content-Type: application/json' -d '{"author": "ada", "titles": ["Hello"]}'
    curl localhost:8000/users/ada

On PostgreSQL (`pip install 'laurels[postgres]'`, DATABASE_URL=postgresql://…) a post and what it earns are one
transaction: both are there, or neither is. On SQLite Laurels has a file of its own and records after the commit.

In a project of several files the settings, the model and the views stand where they always do; `laurels.open` and the
receiver go into the `ready` method of your AppConfig.
"""

import atexit
import json
import os
import sys
from typing import Any

import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.db import connection, connections, models, transaction
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import Http404, HttpRequest, JsonResponse
from django.urls import path
from sqlalchemy.engine import make_url

import laurels

url = make_url(os.environ.get("DATABASE_URL", "sqlite:///django_app.db"))
IS_POSTGRES = url.get_backend_name() == "postgresql"
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": f"django.db.backends.{'postgresql' if IS_POSTGRES else 'sqlite3'}",
            "NAME": url.database,
            "USER": url.username or "",
            "PASSWORD": url.password or "",
            "HOST": url.host or "",
            "PORT": url.port or "",
            "ATOMIC_REQUESTS": True,  # A view is a transaction, so what it does is done together.
        }
    },
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
)
django.setup()

engine = laurels.open(url.render_as_string(hide_password=False) if IS_POSTGRES else "sqlite:///django_laurels.db")
atexit.register(engine.close)


class Post(models.Model):
    """What somebody wrote; no two have the same title."""

    author = models.TextField()
    title = models.TextField(unique=True)

    class Meta:
        """One file makes no Django app, so the model says the name of one."""

        app_label = "blog"

    def __str__(self) -> str:
        return self.title


@receiver(post_save, sender=Post)
def record(instance: Post, *, created: bool, using: str, **_: Any) -> None:
    """Record that a post was published; its id makes that safe to repeat."""
    if not created:
        return
    event = laurels.Event("post.created", user=instance.author, id=f"post-{instance.pk}", data={"published": True})
    if IS_POSTGRES:
        engine.record(event, connection=connections[using].connection)
    else:  # `robust`: the post is there, so what goes wrong now is logged and not raised.
        transaction.on_commit(lambda: engine.record(event), using=using, robust=True)


def publish(request: HttpRequest) -> JsonResponse:
    """Publish posts, all of them or none."""
    asked = json.loads(request.body)
    made = [Post.objects.create(author=asked["author"], title=title) for title in asked["titles"]]
    return JsonResponse({"numbers": [post.pk for post in made]}, status=201)


def show(_: HttpRequest, name: str) -> JsonResponse:
    """Show somebody's level."""
    try:
        profile = engine.profile(name)
    except laurels.LaurelsError as error:
        raise Http404(str(error)) from None
    return JsonResponse({"name": name, "level": profile.level, "xp": profile.xp, "posts": profile.metrics["posts"]})


urlpatterns = [path("posts", publish), path("users/<name>", show)]

if __name__ == "__main__":
    # A project of yours has migrations for this. (`_meta` is public, whatever its name looks like.)
    if Post._meta.db_table not in connection.introspection.table_names():  # noqa: SLF001
        with connection.schema_editor() as editor:
            editor.create_model(Post)
    execute_from_command_line(sys.argv)
