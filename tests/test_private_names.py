"""Private names of other libraries are where they were, and docs/private-names.md lists them all."""

import ast
import importlib
import re
from pathlib import Path

import optuna
import optuna_dashboard
import pytest
from conftest import optunas
from optuna.storages import InMemoryStorage

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "private-names.md").read_text(encoding="utf-8")
LISTED = re.findall(r"^\| `([\w.]+)` \|", PAGE, re.M)
LIBRARIES = ("sklearn", "optuna", "optuna_dashboard", "skops", "joblib", "distributed", "plotly", "matplotlib", "scipy")


def imported() -> set[str]:
    """Every name with a private part that the package imports from a library."""
    found = set()
    for path in (ROOT / "hpo").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            found |= {
                name
                for name in names
                if name.split(".")[0] in LIBRARIES
                and any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
            }
    return found


def test_the_page_lists_every_private_name_that_is_imported():
    assert imported() <= set(LISTED)


@pytest.mark.parametrize("name", LISTED)
def test_it_is_where_it_was(name):
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:n]))
        except ImportError:
            continue
        for part in parts[n:]:
            found = getattr(found, part)
        return
    pytest.fail(f"{name} is gone")


def test_private_attributes_are_where_they_were(tmp_path):
    study = optuna.create_study(storage=InMemoryStorage())
    trial = study.ask()
    study.tell(trial, 0.5)
    assert study._storage.get_trial(trial._trial_id).number == study.trials[0].number == 0
    assert study.trials[0]._trial_id == trial._trial_id
    assert InMemoryStorage()._trial_id_to_study_id_and_number == {}
    assert study._study_id == study._storage.get_study_id_from_name(study.study_name)
    with optunas(f"sqlite:///{tmp_path}/x.db") as storage:
        assert storage._version_manager.get_head_version()
        cache = optuna_dashboard.wsgi(storage)._inmemory_cache
        assert (cache._trials_last_fetched_at, bool(cache._trials_cache_lock)) == ({}, True)
