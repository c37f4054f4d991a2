"""Who may import whom. The contracts stand in pyproject.toml; these tests hold them, and show that they bite."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
CORE_MAY_IMPORT = {"laurels", "msgspec", *sys.stdlib_module_names}


def check_contract(contract, source):
    """Return lint-imports's exit code and report on the package in the folder `source`."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache", "--contract", contract]
    command += ["--config", ROOT / "pyproject.toml"]
    environment = os.environ | {"PYTHONPATH": str(source), "NO_COLOR": "1"}
    # Started elsewhere, as it puts the current folder first on Python's path.
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("contract", ["layers", "core", "pure"])
def test_the_import_contract_is_kept(contract):
    code, report = check_contract(contract, SOURCE)
    assert code == 0, report


@pytest.mark.parametrize(
    ("contract", "module", "text", "complaint"),
    [
        pytest.param("layers", "odds_and_ends.py", "", "odds_and_ends", id="a-module-without-a-place"),
        pytest.param("layers", "settings.py", "import laurels.engine", "laurels.engine", id="upwards"),
        pytest.param("core", "core/odds_and_ends.py", "", "odds_and_ends", id="a-core-module-without-a-place"),
        pytest.param("core", "core/levels.py", "import laurels.core.quests", "laurels.core.quests", id="not-strangers"),
        pytest.param("pure", "core/levels.py", "import sqlalchemy", "sqlalchemy", id="a-library"),
        pytest.param("pure", "core/levels.py", "from time import time", "time", id="a-clock"),
    ],
)
def test_a_broken_contract_is_named(contract, module, text, complaint, tmp_path):
    package = shutil.copytree(SOURCE / "laurels", tmp_path / "laurels")
    (package / "engine.py").touch()
    (package / "core/quests.py").touch()
    (package / module).write_text(text)
    code, report = check_contract(contract, tmp_path)
    assert code == 1
    assert complaint in report


def test_the_core_imports_only_the_standard_library_and_msgspec():
    imported = {
        (path.name, name.partition(".")[0])
        for path in (SOURCE / "laurels/core").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in imported_names(node)
    }
    assert {(module, name) for module, name in imported if name not in CORE_MAY_IMPORT} == set()


def imported_names(node):
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
    return []
