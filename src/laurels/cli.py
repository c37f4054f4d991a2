"""
The command line: flags into settings and calls, results into text or JSON. It holds no logic.

Every command imports what it needs when it runs, so that `laurels --help` is there at once.
"""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from laurels.core.errors import InvalidInput, LaurelsError, SettingInvalid

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console, RenderableType

    from laurels.core.catalog import Catalog
    from laurels.core.changes import Outcome
    from laurels.engine import Engine
    from laurels.handles import UserHandle
    from laurels.importers.loading import Tally
    from laurels.keys import NewKey
    from laurels.protocols import Progress
    from laurels.settings import Settings
    from laurels.webhooks.deliverer import Deliverer, Round

#: Who does what the command line does, for the audit log.
ACTOR = "cli"
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
WIDTH_IN_FILES = 120
#: So many are shown one by one; a file that is something else altogether should not scroll everything away.
BAD_ROWS_SHOWN = 1_000

Database = Annotated[
    str | None,
    typer.Option(
        "--database", "-d", metavar="URL", help="The database; else LAURELS_DATABASE_URL, else sqlite:///laurels.db."
    ),
]
User = Annotated[str, typer.Argument(metavar="USER", help="The user's id.")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id: the part between its two underscores.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")]


class Commands(TyperGroup):
    """The commands, with one place where what went wrong becomes a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; tell errors on stderr, with a traceback only for those who asked for one."""
        try:
            return super().invoke(ctx)
        except LaurelsError as error:
            if not isinstance(error, SettingInvalid) and settings(debug=ctx.params["debug"] or None).debug:
                raise
            say(f"laurels: {error}")
            raise typer.Exit(EXIT_USAGE if isinstance(error, SettingInvalid) else EXIT_FAILURE) from None
        except OSError as error:
            if error.filename is None:  # Nobody reads on: the other end of a pipe was closed.
                raise
            say(f"laurels: {error.filename}: {error.strerror}")
            raise typer.Exit(EXIT_FAILURE) from None


def commands(**options: Any) -> typer.Typer:
    """Return a group of commands."""
    return typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode="rich",
        **options,
    )


app = commands(
    cls=Commands,
    help="Laurels turns what people do into XP, levels, currency, achievements, quests, streaks and leaderboards.",
    epilog="Begin with [bold]laurels demo[/]. Settings come from flags, then LAURELS_* variables, then laurels.toml.",
)
catalogs = commands(help="Check, apply and look at catalogs: what is earned for what.")
people = commands(help="Look at users, and set what is theirs to set.")
imports = commands(help="Record a history that exists elsewhere. Running an import again changes nothing.")
boards = commands(help="Look after the leaderboards.")
credentials = commands(help="Look after the keys that programs call the service with.")

BEGIN, DAILY, CARE = "Begin", "Every day", "Take care"
app.add_typer(catalogs, name="catalog", rich_help_panel=BEGIN)
app.add_typer(people, name="users", rich_help_panel=DAILY)
app.add_typer(imports, name="import", rich_help_panel=DAILY)
app.add_typer(boards, name="boards", rich_help_panel=CARE)
app.add_typer(credentials, name="keys", rich_help_panel=CARE)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # A terminal that knows no emoji gets question marks, not a crash.
    app()


def _version(wanted: bool) -> None:  # noqa: FBT001  typer calls it so
    if wanted:
        import laurels

        typer.echo(f"laurels {laurels.__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the program an error came from.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options that stand before the command; `Commands.invoke` looks at them."""


# --- Begin ------------------------------------------------------------------------------------------------------------


@app.command(rich_help_panel=BEGIN)
def demo(
    *,
    seed: Annotated[int | None, typer.Option(help="Another number makes another community.")] = None,
    database: Annotated[
        str | None,
        typer.Option(
            "--database", "-d", metavar="URL", help="An empty database; sqlite:///laurels-demo.db if not given."
        ),
    ] = None,
) -> None:
    """
    Watch Laurels at work on a small made-up community.

    [dim]laurels demo --seed 3 --database sqlite:///other.db[/]
    """
    from laurels import demo, terminal

    asked = settings(database_url=database)
    url = asked.database_url if "database_url" in asked.model_fields_set else demo.DATABASE_URL
    with terminal.progress_bars(console(sys.stderr)) as progress:
        tour = demo.build(url, seed, progress)
    for part in terminal.tour(tour, program()):
        show(part)


@app.command(rich_help_panel=BEGIN)
def init(
    *,
    catalog: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="What a new database starts with: a bundled catalog or a file.")
    ] = "community",
    database: Database = None,
) -> None:
    """
    Make a database, with a catalog to start with. Does nothing to one that is there.

    [dim]laurels init --catalog catalog.toml[/]
    """
    with opened(database, create=True, first_catalog=catalog) as engine:
        current = engine.catalog
    url = without_password(settings(database_url=database).database_url)
    typer.echo(f"{url} is ready under revision {current.revision} of its catalog, {current.name!r}.")
    typer.echo("Next: laurels record post.created --user ada, or laurels import events FILE, or laurels catalog show.")


@app.command(rich_help_panel=BEGIN)
def serve(
    *,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Where to listen, such as 0.0.0.0; else this machine only.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="8000 if not given; 0 for a free one.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="How many processes; 1 if not given.")] = None,
    root_path: Annotated[
        str | None, typer.Option(metavar="PATH", help="Under which path a proxy serves this, such as /laurels.")
    ] = None,
    database: Database = None,
) -> None:
    """
    Answer over HTTP, until told to stop. A database that is not there is made, with a first key.

    [dim]laurels serve --port 8080 --workers 2[/]
    """
    from laurels import terminal

    try:
        from laurels.http import logs, serving
    except ImportError as error:
        raise InvalidInput(
            "driver_missing", f"serve needs more than the engine does: pip install 'laurels[server]' ({error})."
        ) from None

    asked = settings(database_url=database, host=host, port=port, workers=workers, root_path=root_path)
    with serving.listening(asked) as bound:
        url = serving.address(bound)

        def ready() -> None:
            typer.echo(f"Laurels answers at {url}, and shows itself at {url}/docs")
            if asked.root_path:
                typer.echo(f"The proxy in front of it is to serve it under {asked.root_path}")

        logs.configure(asked)
        first = serving.prepare(asked)
        if first is not None:
            show(terminal.first_key(first, url))
        code = serving.serve(asked, bound, ready)
    if code:
        raise typer.Exit(code)


@catalogs.command("check")
def catalog_check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .toml or .json file, or a bundled name.")],
    *,
    as_json: AsJson = False,
) -> None:
    """
    Find every mistake in a catalog file; nothing is applied.

    [dim]laurels catalog check catalog.toml[/]
    """
    from laurels.catalog_file import load_catalog
    from laurels.core.errors import CatalogInvalid

    try:
        catalog = load_catalog(file)
    except CatalogInvalid as invalid:
        if not as_json:
            raise
        print_json({"valid": False, "problems": invalid.problems})
        raise typer.Exit(EXIT_FAILURE) from None
    if as_json:
        print_json({"valid": True, "problems": []})
    else:
        typer.echo(f"{file} is in order: {catalog_summary(catalog)}.")


@catalogs.command("diff")
def catalog_diff(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .toml or .json file, or a bundled name.")],
    *,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """
    Show what applying a catalog would change in the one in force.

    [dim]laurels catalog diff catalog.toml[/]
    """
    from laurels import terminal
    from laurels.catalog_diff import differences
    from laurels.catalog_file import load_catalog

    given = load_catalog(file)
    with opened(database) as engine:
        found = differences(engine.catalog, given)
    if as_json:
        print_json({"differences": found})
    else:
        show(terminal.differences(found))


@catalogs.command("apply")
def catalog_apply(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .toml or .json file, or a bundled name.")],
    *,
    database: Database = None,
) -> None:
    """
    Put a catalog into force: what is recorded from then on is decided under it.

    [dim]laurels catalog apply catalog.toml[/]
    """
    from laurels.catalog_file import load_catalog

    catalog = load_catalog(file)
    with opened(database, create=True, first_catalog=file) as engine:
        before = engine.catalog
        revision = before.revision if before.source == catalog.source else engine.apply_catalog(catalog)
    if revision == before.revision:
        typer.echo(f"Revision {revision} is this very catalog, and in force.")
    else:
        typer.echo(f"Revision {revision} is in force: {catalog_summary(catalog)}.")


@catalogs.command("show")
def catalog_show(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A bundled catalog, printed as it is written.")
    ] = None,
    *,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """
    Show the catalog in force, or print a bundled one to start your own from.

    [dim]laurels catalog show community > catalog.toml[/]
    """
    from laurels import terminal
    from laurels.catalog_file import bundled_text

    if name is not None:
        typer.echo(bundled_text(name), nl=False)
        return
    with opened(database) as engine:
        current = engine.catalog
    if as_json:
        typer.echo(pretty(current.source.encode()))
    else:
        show(terminal.catalog(current))


@catalogs.command("schema")
def catalog_schema() -> None:
    """
    Print the JSON Schema of catalog files, for editors.

    [dim]laurels catalog schema > catalog.schema.json[/]
    """
    from laurels import catalog_file

    print_json(catalog_file.catalog_schema())


# --- Every day --------------------------------------------------------------------------------------------------------


@app.command(rich_help_panel=DAILY)
def record(
    event_type: Annotated[
        str | None, typer.Argument(metavar="TYPE", help="Such as post.created; without it, JSON on standard input.")
    ] = None,
    *,
    user: Annotated[str | None, typer.Option(help="Who did it.")] = None,
    event_id: Annotated[
        str | None, typer.Option("--id", help="Makes it safe to send again; made up where it is not given.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="When, such as 2026-03-01T10:00:00Z; now if not given.")
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="JSON", help="What else there is to say of it.")] = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """
    Record one event, and show what it caused and what it did not.

    [dim]laurels record post.created --user ada --id post-1 --data '{"words": 120}'[/]

    [dim]echo '{"id": "post-2", "type": "post.created", "user": "ada"}' | laurels record[/]
    """
    from uuid import uuid4

    import msgspec

    from laurels.importers.events import LINE_BYTES_MAX, parse_event

    if event_type is None:
        text = (
            b"" if sys.stdin.isatty() or user or event_id or time or data else sys.stdin.buffer.read(LINE_BYTES_MAX + 1)
        )
        if not text.strip():
            raise typer.BadParameter("give TYPE and --user, or an event as JSON on standard input")
        event = parse_event(text)
    elif user is None:
        raise typer.BadParameter("who did it? Give --user")
    else:
        said = {"id": event_id or f"cli-{uuid4()}", "type": event_type, "user": user, "time": time}
        with_data = {} if data is None else {"data": parsed(data, "--data")}
        event = parse_event(msgspec.json.encode({**said, **with_data}))
    with opened(database, create=True) as engine:
        outcome = engine.record(event)
        show_outcome(engine, outcome, as_json=as_json)


@app.command(rich_help_panel=DAILY)
def explain(
    user: Annotated[str, typer.Argument(help="The user whose request it was.")],
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="The id of an event or a command.")],
    *,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """
    Say why a request earned what it earned, and what it did not earn.

    [dim]laurels explain ada post-1[/]
    """
    with opened(database) as engine:
        show_outcome(engine, engine.user(user).outcome(request_id), as_json=as_json)


@people.command("list")
def users_list(
    *,
    query: Annotated[str, typer.Option(help="Part of an id or a name.")] = "",
    after: Annotated[str, typer.Option(metavar="USER", help="Go on behind this user.")] = "",
    limit: Limit = 50,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """
    List users by their ids.

    [dim]laurels users list --query ada --json[/]
    """
    from laurels import terminal

    with opened(database) as engine:
        found = engine.profiles(after=after, containing=query, limit=limit)
    following = found[-1].user_id if len(found) == limit else None
    if as_json:
        print_json({"items": found, "next_cursor": following})
        return
    show(terminal.users(found))
    if following is not None:
        typer.echo(f"More: laurels users list --after {following!r} --limit {limit}")


@people.command("show")
def users_show(user: User, *, as_json: AsJson = False, database: Database = None) -> None:
    """
    Show one user: level, currencies, achievements, streaks, quests, notifications.

    [dim]laurels users show ada[/]
    """
    from laurels import terminal

    with opened(database) as engine:
        handle = engine.user(user)
        profile = handle.profile()
        if as_json:
            print_json(profile)
            return
        show(terminal.profile(profile, engine.catalog))
        show(terminal.achievements(handle.achievements()))
        for code, rule in engine.catalog.streaks.items():
            show(terminal.streak(rule.name or code, profile.streaks[code], handle.streak_days(code, count=42)))
        show(terminal.quests(handle.quests()))
        show(terminal.notifications(handle.notifications(limit=5), profile.timezone))


@people.command("set")
def users_set(  # noqa: PLR0913  a flag for each thing that can be set
    user: User,
    *,
    timezone: Annotated[str | None, typer.Option(help="An IANA name, such as Europe/Berlin.")] = None,
    day_starts_at: Annotated[int | None, typer.Option(min=0, max=23, help="The hour at which the day begins.")] = None,
    group: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A group; NAME= leaves it. May be repeated.")
    ] = None,
    opted_out: Annotated[
        bool | None, typer.Option("--opted-out/--opted-in", help="Hide from every board and count, or be seen again.")
    ] = None,
    display_name: Annotated[str | None, typer.Option(help="The name that boards show; empty for none.")] = None,
    avatar_url: Annotated[str | None, typer.Option(help="A picture; empty for none.")] = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """
    Set what is given and leave the rest. A user who is not there is made.

    [dim]laurels users set ada --timezone Europe/Berlin --day-starts-at 4 --group team=red[/]
    """
    from laurels import terminal

    given: dict[str, Any] = {"timezone": timezone, "day_starts_at": day_starts_at, "opted_out": opted_out}
    given = {name: value for name, value in given.items() if value is not None}
    given |= {"display_name": display_name or None} if display_name is not None else {}
    given |= {"avatar_url": avatar_url or None} if avatar_url is not None else {}
    groups = pairs(group or [], "--group")
    if not given and not groups:
        raise typer.BadParameter("nothing is given to set; see laurels users set --help")
    with opened(database, create=True) as engine:
        handle = engine.user(user)
        if groups:
            given["groups"] = {name: value for name, value in {**groups_of(handle), **groups}.items() if value}
        profile = handle.set(**given, actor=ACTOR)
        if as_json:
            print_json(profile)
        else:
            show(terminal.profile(profile, engine.catalog))


@app.command(rich_help_panel=DAILY)
def leaderboard(
    code: Annotated[str, typer.Argument(metavar="CODE", help="Which board, such as xp.")],
    *,
    period: Annotated[
        Literal["daily", "weekly", "monthly", "alltime"] | None,
        typer.Option(help="Which kind of period; all time if not given."),
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="KEY", help="Which period: 2026-W47, or an instant in it; now if not given.")
    ] = None,
    around: Annotated[str | None, typer.Option(metavar="USER", help="The lines around a user, not the top.")] = None,
    limit: Limit = 10,
    group: Annotated[str, typer.Option(metavar="VALUE", help="Of a board split by a group: of which.")] = "",
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """
    Show a leaderboard.

    [dim]laurels leaderboard xp --period weekly --at 2026-W47 --around ada --limit 5[/]
    """
    from laurels import terminal

    with opened(database) as engine:
        board = engine.leaderboard(code, period=period, at=at, group=group)
        lines = board.top(limit) if around is None else board.around(around, limit)
        shown, total, name = board.period, board.total, engine.catalog.leaderboards[code].name
    if as_json:
        print_json({"code": code, "period": shown, "total": total, "items": lines})
    else:
        show(terminal.board(name or code, shown, lines, total))


@imports.command("events")
def import_events(
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON lines, also gzipped; - is standard input.")],
    *,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """
    Record the events in a file, one JSON object a line: id, type, user, and perhaps time and data.

    [dim]laurels import events history.jsonl.gz[/]
    """
    from laurels.importers import loading
    from laurels.importers.events import EventsFile

    with (
        EventsFile(None if file == "-" else Path(file)) as events,
        opened(database, create=True) as engine,
        importing(as_json=as_json) as (tally, progress),
    ):
        loading.import_events(engine, events, tally, progress)


@imports.command("stackexchange")
def import_stackexchange(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where Posts.xml and the other files are.")],
    *,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """
    Record a Stack Exchange data dump, into a database of its own.

    [dim]laurels import stackexchange astronomy/ --database sqlite:///astronomy.db[/]
    """
    from laurels.importers import loading
    from laurels.importers.stackexchange import Dump

    with (
        Dump(directory) as dump,
        opened(database, create=True, first_catalog="stackexchange") as engine,
        importing(as_json=as_json) as (tally, progress),
    ):
        loading.import_dump(engine, dump, tally, progress)


@app.command(rich_help_panel=DAILY)
def export(
    what: Annotated[Literal["achievements", "entries", "events"], typer.Argument(help="Which rows.")],
    *,
    form: Annotated[Literal["csv", "jsonl"], typer.Option("--format", help="How they are written.")] = "csv",
    database: Database = None,
) -> None:
    """
    Print who unlocked what, the ledger's entries, or all events.

    [dim]laurels export entries --format csv > ledger.csv[/]
    """
    from laurels import exporting
    from laurels.terminal import progress_bars

    quiet = sys.stdout.isatty()  # Bars and rows in one terminal would be in each other's way.
    with opened(database) as engine, progress_bars(console(sys.stderr), disable=quiet) as progress:
        exporting.export(engine, what, form, sys.stdout, progress)


# --- Take care --------------------------------------------------------------------------------------------------------


@boards.command("rebuild")
def boards_rebuild(*, database: Database = None) -> None:
    """
    Fill every leaderboard anew from the journal.

    [dim]laurels boards rebuild[/]
    """
    from laurels.terminal import progress_bars

    with opened(database) as engine, progress_bars(console(sys.stderr)) as progress:
        rows = engine.rebuild_boards(progress)
        count = len(engine.catalog.leaderboards)
    typer.echo(f"{count} leaderboards were filled from {rows:,} rows of the journal.")


@app.command(rich_help_panel=CARE)
def worker(
    *,
    once: Annotated[bool, typer.Option("--once", help="Do what is due, and end.")] = False,
    now: Annotated[
        str | None,
        typer.Option(metavar="INSTANT", help="With --once: the time to go by, such as 2026-03-01T10:00:00Z."),
    ] = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """
    Keep the leaderboards up to date and deliver to webhooks until told to stop. Any number may run.

    [dim]laurels worker --once[/]
    """
    from dataclasses import asdict

    from laurels import terminal
    from laurels.worker import Told, Worker, told_as_json

    def tell(told: Told) -> None:
        if as_json:
            print_json_line(told_as_json(told))
        else:
            console().print(terminal.told(told))

    if now is not None and not once:
        raise typer.BadParameter("it sets the time of one pass: give --once too", param_hint="--now")
    with opened(database, clock=None if now is None else clock_at(now, "--now")) as engine:
        if not once:
            with Worker(engine, tell) as running, delivering(engine, running.stop), stopping(running.stop):
                running.run()
            return
        with Worker(engine) as passing:
            done = passing.run_once()
        delivered = delivered_once(engine)
    if as_json:
        print_json({**asdict(done), "webhooks": delivered})
    else:
        show(terminal.worker_pass(done, delivered))


@credentials.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to know it by, such as shop or nightly-import.")],
    *,
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope",
            metavar="SCOPE",
            help="ingest (events), wallet (XP, currency, quests), read, or admin (everything). May be repeated.",
        ),
    ],
    expires: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="When it ends, such as 2027-01-01T00:00:00Z; else never.")
    ] = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """
    Make a key. It is shown this once.

    [dim]laurels keys create shop --scope ingest --scope read[/]
    """
    from laurels import keys

    ends_at = None if expires is None else clock_at(expires, "--expires")()
    with opened(database, create=True) as engine:
        show_key(keys.create(engine, name, scope, actor=ACTOR, expires_at=ends_at), as_json=as_json)


@credentials.command("list")
def keys_list(*, as_json: AsJson = False, database: Database = None) -> None:
    """
    List all keys, those revoked too. None is shown: only what proves them is stored.

    [dim]laurels keys list --json[/]
    """
    from laurels import keys, terminal

    with opened(database) as engine:
        found, now = keys.every(engine), engine.now()
    if as_json:
        print_json({"items": found, "next_cursor": None})
    else:
        show(terminal.keys(found, now))


@credentials.command("rotate")
def keys_rotate(
    key_id: KeyId,
    *,
    overlap: Annotated[
        int, typer.Option(metavar="SECONDS", min=0, help="How long the old one stays good beside the new one.")
    ] = 86_400,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """
    Make a key that may do the same, and let the old one end after a while.

    [dim]laurels keys rotate 4fT0qPzRm81x --overlap 3600[/]
    """
    from laurels import keys

    with opened(database) as engine:
        show_key(keys.rotate(engine, key_id, overlap_s=overlap, actor=ACTOR), as_json=as_json)


@credentials.command("revoke")
def keys_revoke(key_id: KeyId, *, as_json: AsJson = False, database: Database = None) -> None:
    """
    End a key at once: running services refuse it within a second.

    [dim]laurels keys revoke 4fT0qPzRm81x[/]
    """
    from laurels import keys

    with opened(database) as engine:
        revoked = keys.revoke(engine, key_id, actor=ACTOR)
    if as_json:
        print_json(revoked)
    else:
        typer.echo(f"{revoked.id} ({revoked.name}) is refused from now on.")


@app.command(rich_help_panel=CARE)
def doctor(*, as_json: AsJson = False, database: Database = None) -> None:
    """
    Check that what is stored keeps the laws: the ledger proves its balances, the boards prove themselves.

    [dim]laurels doctor --json[/]
    """
    from laurels import doctor, terminal

    with opened(database) as engine, terminal.progress_bars(console(sys.stderr)) as progress:
        report = doctor.examine(engine, progress)
    if as_json:
        print_json(report)
    else:
        show(terminal.examination(report))
    if not report.healthy:
        raise typer.Exit(EXIT_FAILURE)


# --- What commands share ----------------------------------------------------------------------------------------------


def settings(**flags: Any) -> Settings:
    """Return the settings in force."""
    from laurels.settings import read_settings

    return read_settings(**flags)


@contextmanager
def opened(database: str | None, *, create: bool = False, **options: Any) -> Iterator[Engine]:
    """Open the database that a command is about; only commands that write make one that is not there."""
    import stamina.instrumentation

    from laurels.engine import open_as_set

    stamina.instrumentation.set_on_retry_hooks(())  # Told on standard output, it would stand between what is printed.
    with open_as_set(settings(database_url=database), create=create, **options) as engine:
        yield engine


@contextmanager
def importing(*, as_json: bool) -> Iterator[tuple[Tally, Progress]]:
    """Show how far an import is and which rows were left out, and at its end, however it comes, what was recorded."""
    from laurels.importers.loading import Tally
    from laurels.terminal import progress_bars

    errors = console(sys.stderr)

    def report(problem: str) -> None:
        if tally.left_out <= BAD_ROWS_SHOWN:
            errors.print(problem, style="red", markup=False, highlight=False, soft_wrap=True)

    tally = Tally(report)
    try:
        with progress_bars(errors) as progress:
            yield tally, progress
    except (KeyboardInterrupt, LaurelsError) as error:
        if tally.seen or isinstance(error, KeyboardInterrupt):
            say(f"Stopped: {recorded(tally)}. The same command goes on from there.")
        if isinstance(error, KeyboardInterrupt):
            raise typer.Exit(EXIT_INTERRUPTED) from None
        raise
    if as_json:
        print_json({"recorded": tally.recorded, "repeated": tally.repeated, "left_out": tally.left_out})
    else:
        typer.echo(f"Done: {recorded(tally)}.")
    if tally.left_out:
        raise typer.Exit(EXIT_FAILURE)


@contextmanager
def delivering(engine: Engine, stop: Callable[[], None]) -> Iterator[None]:
    """Deliver to webhooks beside what the block does; where that breaks off, `stop` ends the block."""
    from concurrent.futures import ThreadPoolExecutor

    deliverer = deliverer_on(engine)
    if deliverer is None:
        say("This worker does not deliver to webhooks: that takes pip install 'laurels[server]'.")
        yield
        return
    with ThreadPoolExecutor(1, "laurels-deliverer") as threads:
        done = threads.submit(deliverer.run)
        done.add_done_callback(lambda _: stop())
        try:
            yield
        finally:
            deliverer.stop()
        done.result()
    deliverer.close()


def delivered_once(engine: Engine) -> Round | None:
    """Deliver to webhooks what is due now, and return what that came to; None where this cannot be done here."""
    deliverer = deliverer_on(engine)
    if deliverer is None:
        return None
    done = deliverer.run_once()
    deliverer.close()
    return done


def deliverer_on(engine: Engine) -> Deliverer | None:
    """Return what delivers to webhooks; None where the server's packages are not installed."""
    from importlib.util import find_spec

    if find_spec("httpx") is None or find_spec("standardwebhooks") is None:
        return None
    from laurels.webhooks.deliverer import Deliverer

    return Deliverer(engine, settings())


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first Ctrl+C or SIGTERM; the second one ends the program at once."""
    signals = (signal.SIGINT, signal.SIGTERM)

    def take(*_: object) -> None:
        restore()
        stop()

    def restore() -> None:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)

    before = [signal.signal(number, take) for number in signals]
    try:
        yield
    finally:
        restore()


def clock_at(text: str, flag: str) -> Callable[[], datetime]:
    """Return a clock that stands still at the instant in a flag."""
    from laurels.core.periods import parse_instant, to_datetime

    try:
        at = to_datetime(parse_instant(text))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=flag) from None
    return lambda: at


def recorded(tally: Tally) -> str:
    """Return how far an import came."""
    parts = [f"{tally.recorded:,} events recorded"]
    parts += [f"{tally.repeated:,} were there before"] if tally.repeated else []
    parts += [f"{tally.left_out:,} left out as wrong"] if tally.left_out else []
    return ", ".join(parts)


def parsed(text: str, flag: str) -> Any:
    """Return the JSON in a flag."""
    import msgspec

    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise typer.BadParameter(f"no JSON that can be read: {error}", param_hint=flag) from None


def without_password(url: str) -> str:
    """Return a database's address as it may be shown to who looks over a shoulder."""
    from sqlalchemy.engine import make_url

    return make_url(url).render_as_string()


def catalog_summary(catalog: Catalog) -> str:
    """Return how much there is in a catalog."""
    rules, achievements, quests = len(catalog.rules), len(catalog.achievements), len(catalog.quests)
    return f"{catalog.name!r}, with rules: {rules}, achievements: {achievements}, quests: {quests}"


def pairs(given: list[str], flag: str) -> dict[str, str]:
    """Return what stands as `NAME=VALUE` in a flag that may be repeated."""
    for pair in given:
        if "=" not in pair:
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint=flag)
    return dict(pair.split("=", 1) for pair in given)


def groups_of(user: UserHandle) -> dict[str, str]:
    """Return a user's groups; none for a user who is not there yet."""
    from laurels.core.errors import Unknown

    try:
        return user.profile().groups
    except Unknown:
        return {}


def show_outcome(engine: Engine, outcome: Outcome, *, as_json: bool) -> None:
    """Show what a request caused."""
    from laurels import terminal
    from laurels.core.changes import outcome_as_json

    if as_json:
        print_json(outcome_as_json(outcome))
        return
    request = engine.user(outcome.user_id).request(outcome.event_id)
    zone = engine.profile(outcome.user_id).timezone
    show(terminal.outcome(outcome, request, engine.catalog, zone))


def show_key(made: NewKey, *, as_json: bool) -> None:
    """Show a key that was just made."""
    from laurels import terminal

    if as_json:
        print_json(made)
    else:
        show(terminal.new_key(made))


def program() -> str:
    """Return what to type to call this program from here."""
    if shutil.which("laurels"):
        return "laurels"
    return "./run laurels" if Path("run").is_file() else "python -m laurels"


def console(stream: Any = None) -> Console:
    """Return where things are shown; wide enough for tables where it is no terminal."""
    from rich.console import Console

    found = Console(file=stream or sys.stdout, highlight=False)
    return found if found.is_terminal else Console(file=stream or sys.stdout, highlight=False, width=WIDTH_IN_FILES)


def show(what: RenderableType) -> None:
    """Print something good-looking, and an empty line."""
    out = console()
    out.print(what)
    out.print()


def say(message: str) -> None:
    """Tell people something on stderr."""
    typer.secho(message, err=True)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    import msgspec

    typer.echo(pretty(msgspec.json.encode(value)))


def print_json_line(value: Any) -> None:
    """Print a value as JSON on a line of its own, for programs that read on."""
    import msgspec

    typer.echo(msgspec.json.encode(value))


def pretty(text: bytes) -> str:
    """Return JSON with an indent."""
    import msgspec

    return msgspec.json.format(text, indent=2).decode()
