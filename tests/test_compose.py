"""compose.yaml and the Dockerfile, as far as they can be tried without Docker: every name in them means something."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from laurels.cli import app
from laurels.settings import read_settings
from tests.http.processes import running

ROOT = Path(__file__).parents[1]
SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
OURS = ("laurels", "worker")
IMAGE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def instructions(name):
    return [line.split(maxsplit=1)[1] for line in IMAGE.splitlines() if line.startswith(name + " ")]


def environment(service):
    """What Compose would hand over, with the password that it insists on."""
    found = SERVICES[service]["environment"]
    return {name: re.sub(r"\$\{POSTGRES_PASSWORD:\?[^}]*\}", "secret", value) for name, value in found.items()}


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """The settings of a service, as the program reads them."""

    def of(service):
        for name in [name for name in os.environ if name.startswith("LAURELS_")]:
            monkeypatch.delenv(name)
        monkeypatch.chdir(tmp_path)
        for name, value in environment(service).items():
            monkeypatch.setenv(name, value)
        return read_settings()

    return of


def test_it_has_the_parts_of_a_service():
    assert set(SERVICES) == {"laurels", "worker", "db", "valkey"}


@pytest.mark.parametrize("service", OURS)
def test_what_is_set_is_a_setting_and_leads_to_the_services_beside_it(service, settings):
    found = settings(service)
    assert found.database_url == "postgresql://laurels:secret@db:5432/laurels"
    assert found.redis_url == "redis://valkey:6379/0"
    postgres = SERVICES["db"]["environment"]
    assert (postgres["POSTGRES_USER"], postgres["POSTGRES_DB"]) == ("laurels", "laurels")


def test_the_application_leaves_the_work_to_the_worker_and_is_told_to_stop_in_time(settings):
    found = settings("laurels")
    assert not found.serve_works
    for service in OURS:
        assert int(SERVICES[service]["stop_grace_period"].removesuffix("s")) > found.shutdown_timeout_s + 5
    assert f"127.0.0.1:{found.port}:{found.port}" in SERVICES["laurels"]["ports"]
    assert instructions("EXPOSE") == [str(found.port)]


def test_no_secret_stands_in_it():
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or value.startswith("${POSTGRES_PASSWORD:?")
            assert "://" not in value or ":${POSTGRES_PASSWORD:?" in value or "@" not in value


@pytest.mark.parametrize(
    "command", [*(SERVICES[name]["command"] for name in OURS), yaml.safe_load(instructions("CMD")[0])], ids=" ".join
)
def test_the_commands_are_commands(command):
    assert yaml.safe_load(instructions("ENTRYPOINT")[0]) == ["laurels"] == list(PROJECT["scripts"])
    done = CliRunner().invoke(app, [*command, "--help"], prog_name="laurels")
    assert done.exit_code == 0, done.output


def test_who_waits_for_another_waits_for_one_that_says_how_it_is():
    for service in SERVICES.values():
        for name, wants in service.get("depends_on", {}).items():
            assert wants == {"condition": "service_healthy"}
            assert "test" in SERVICES[name]["healthcheck"]


@pytest.mark.parametrize("service", OURS)
def test_our_containers_may_do_next_to_nothing(service):
    found = SERVICES[service]
    assert (found["read_only"], found["cap_drop"], found["tmpfs"]) == (True, ["ALL"], ["/tmp"])
    assert instructions("USER") == ["laurels"]
    assert "user" not in found


def test_the_image_is_built_from_what_is_there():
    extras = {
        name for names in re.findall(r"\[([a-z,]+)\]", " ".join(instructions("RUN"))) for name in names.split(",")
    }
    assert extras == set(PROJECT["optional-dependencies"])
    kept = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    sources = [word.removeprefix("./") for line in instructions("COPY") for word in shlex.split(line)[:-1]]
    assert set(sources) == kept
    assert [name for name in sources if not (ROOT / name).exists()] == []
    assert all(f"python:{PROJECT['requires-python'].removeprefix('>=')}-slim" in line for line in instructions("FROM"))


def test_the_health_check_knows_a_service_that_is_ready_from_one_that_is_not(tmp_path):
    _, program, *arguments = SERVICES["laurels"]["healthcheck"]["test"]
    assert program == "python"

    def asked(port):
        command = [sys.executable, *arguments]
        return subprocess.run(command, env={"LAURELS_PORT": str(port)}, capture_output=True, check=False).returncode

    with running(tmp_path) as service:
        port = service.url.rpartition(":")[2]
        assert asked(port) == 0
        assert service.stop() == 0
    assert asked(port) != 0
