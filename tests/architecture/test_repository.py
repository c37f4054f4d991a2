"""What the repository may and may not hold, and that its lock files answer its pyproject.toml."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = list(PYPROJECT["project"]["optional-dependencies"])
# Written in pieces, so that this file does not name them either.
REGISTRY_HOSTS = ("pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "npmjs" + ".com")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_file_holds_no_address(lock):
    """A lock with an address in it works only for those who can reach that address."""
    lines = lock.read_text().splitlines()
    assert [line for line in lines if line.startswith("-") or re.search(r"https?:|file:|@", line)] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_locked_package_has_a_hash(lock):
    lines = lock.read_text().splitlines()
    pinned = [number for number, line in enumerate(lines) if "==" in line and not line.startswith((" ", "#"))]
    assert pinned
    assert [lines[number] for number in pinned if "--hash=sha256:" not in lines[number + 1]] == []


@pytest.mark.parametrize(
    ("lock", "extras", "groups"),
    [
        pytest.param("core", [], ["build"], id="core"),
        pytest.param("test", EXTRAS, ["build", "test", "quality"], id="test"),
        pytest.param("bench", EXTRAS, ["build", "test", "bench"], id="bench"),
        pytest.param("docs", [], ["build", "docs"], id="docs"),
    ],
)
def test_a_lock_file_has_what_the_project_asks_for(lock, extras, groups):
    """If this fails, run `./run lock`."""
    text = (ROOT / f"requirements/{lock}.lock").read_text()
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))
    project, all_groups = PYPROJECT["project"], PYPROJECT["dependency-groups"]
    optional = project["optional-dependencies"]
    parts = [project["dependencies"], *(optional[each] for each in extras), *(all_groups[each] for each in groups)]
    requirements = [Requirement(line) for part in parts for line in part]
    names = {each: canonicalize_name(each.name) for each in requirements}
    assert {name for name in names.values() if name not in locked} == set()
    assert {str(each) for each, name in names.items() if not each.specifier.contains(locked[name])} == set()


def test_no_file_names_a_package_registry():
    """Where packages come from is the choice of whoever installs them."""
    # A checkout may belong to another user, as in a container; git would refuse to look at it.
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        pytest.skip(f"not a git checkout: {listing.stderr.strip()}")
    tracked = [path for name in listing.stdout.split("\0") if (path := ROOT / name).is_file()]
    assert tracked
    assert [path for path in tracked for host in REGISTRY_HOSTS if host.encode() in path.read_bytes()] == []


def test_the_core_lock_has_nothing_that_only_an_extra_asks_for_but_what_serves():
    """The demo's environment is also that of `./run laurels serve`."""
    optional = PYPROJECT["project"]["optional-dependencies"]
    others = [line for name, lines in optional.items() if name != "server" for line in lines]
    extras = {canonicalize_name(Requirement(line).name) for line in others}
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements/core.lock").read_text(), re.MULTILINE)
    assert extras & set(locked) == set()
