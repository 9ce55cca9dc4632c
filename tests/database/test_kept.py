"""Databases that earlier versions wrote open, show what they showed, and go on."""

import importlib
import json
import pickle
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

import hpo

HERE = Path(__file__).resolve().parents[1] / "databases"
VERSIONS = sorted(path.stem for path in HERE.glob("*.sql"))


@pytest.fixture(scope="module")
def kept():
    sys.path.insert(0, str(HERE))
    try:
        return importlib.import_module("kept")
    finally:
        sys.path.remove(str(HERE))


@pytest.fixture(params=VERSIONS)
def old(request, tmp_path):
    """A database of an earlier version, and what it showed."""
    path = tmp_path / "kept.db"
    connection = sqlite3.connect(path)
    connection.executescript((HERE / f"{request.param}.sql").read_text(encoding="utf-8"))
    connection.close()
    return path, json.loads((HERE / f"{request.param}.json").read_text(encoding="utf-8"))


def shown(database, kept):
    trials = database.trials().sort_values("number")
    return {str(key): kept.table(part["value"]) for key, part in trials.groupby(["study", "sampler", "split", "seed"])}


def test_it_shows_what_it_showed(old, kept):
    path, before = old
    with hpo.StudyDatabase(path) as database:
        assert shown(database, kept) == before
        assert set(database.runs()["state"]) == {"done"}


@pytest.mark.slow
def test_its_runs_go_on_as_if_they_had_never_stopped(old, kept, tmp_path):
    path, before = old
    more = [("kept-tree", "random", 1, 8), ("kept-tree", "tpe", 0, 15), ("kept-tree", "grid", 0, None)]
    more += [("kept-tree", "random+racing", 0, 8), ("kept-built", "qmc", 0, 7), ("kept-drawn", "random", 0, 6)]
    for study, sampler, seed, trials in more:
        options = {"sampler": sampler, "seed": seed, "trials": trials, "progress": "none"}
        went_on = hpo.run(kept.STUDIES[study], database=path, **options)
        fresh = hpo.run(kept.STUDIES[study], database=tmp_path / "fresh.db", **options)
        assert went_on.name.version == 1
        stored = before[str((study, sampler, 0, seed))]
        assert kept.table(went_on.trials["value"])[: len(stored)] == stored
        values, again = (found.trials["value"].astype(float) for found in (went_on, fresh))
        # A solver that stops at a tolerance differs a little from process to process.
        assert np.allclose(values, again, rtol=1e-3, equal_nan=True)


@pytest.mark.slow
def test_its_comparison_and_its_searches_go_on(old, kept):
    path, before = old
    comparison = hpo.compare(
        kept.TREE, samplers=["random", "grid"], repetitions=3, trials=5, workers=1, database=path, progress="none"
    )
    assert comparison.table["repetitions"].tolist() == [3, 3] if "repetitions" in comparison.table else True
    searches, X, y = kept.searches(path, n_extra=1)
    with hpo.StudyDatabase(path) as database:
        n_runs = len(database.runs())
    for search in searches.values():
        search.fit(X, y)
        name = search.run_.name
        stored = before[str((name.study, name.sampler, 0, name.seed))]
        assert kept.table(search.cv_results_["mean_test_score"])[: len(stored)] == stored
    with hpo.StudyDatabase(path) as database:
        assert len(database.runs()) == n_runs


PICKLES = sorted(HERE.glob("*.pickle"))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@pytest.mark.parametrize("path", PICKLES, ids=lambda path: path.stem)
def test_pickles_of_earlier_versions_open_and_go_on(path):
    X, y = load_iris(return_X_y=True)
    old = pickle.loads(path.read_bytes())
    for search in (old["fitted"], old["in_memory"]):
        assert type(search) is hpo.SearchCV
        assert search.score(X, y) == pytest.approx(0.98, abs=0.02)
    assert len(old["in_memory"].run_.trials) == 4
    assert old["unfitted"].set_params(estimator__max_iter=500, n_trials=2).fit(X, y).best_score_ > 0.9
    assert [type(old[name]) for name in ("space", "holdout", "cv")] == [
        hpo.SearchSpace,
        hpo.Holdout,
        hpo.CrossValidation,
    ]
    assert old["cv"] == hpo.CrossValidation(3)
    assert type(old["metric"]) is hpo.Metric
    assert old["best"].value == max(trial.value for trial in old["trials"])
    assert list(old["model_parameters"]["name"]) == ["coef_", "intercept_"]
    run = hpo.run(old["definition"], sampler="random", trials=1, database=":memory:", progress="none")
    assert run.best.value > 0.9


def test_former_names_of_modules_lead_to_what_moved():
    for name in hpo.MOVED:
        (moved := importlib.import_module(name)).__doc__
        home = importlib.import_module(hpo.MOVED[name])
        public = [x for x in vars(home) if not x.startswith("_") and getattr(home, x).__class__ is type]
        assert public
        assert all(getattr(moved, one) is getattr(home, one) for one in public)
