"""Importance against truths that are known: which hyperparameter decides, and how much."""

import json
import math

import numpy as np
import optuna
import pytest
from conftest import tree_study
from served import Served

import hpo
from benchmarks.importance import NOISE, TRUTHS, additive, by_gamma, by_kernel, flat, kernels
from hpo.analysis.importance import importances_of_trials


def trials_of(space, truth, n=40, seed=0, sampler=optuna.samplers.RandomSampler):
    study = optuna.create_study(direction="maximize", sampler=sampler(seed=seed))
    noise = np.random.default_rng(seed)
    study.optimize(lambda trial: truth(space(trial)) + NOISE * noise.normal(), n_trials=n)
    return study.trials


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


@pytest.mark.parametrize("name", TRUTHS)
def test_what_decides_is_found_and_about_how_much(name):
    space, truth, expected = TRUTHS[name]
    off = []
    for seed in range(3):
        frame = importances_of_trials(trials_of(space, truth, seed=seed)).frame.set_index("hyperparameter")
        shares = frame["metric"]
        assert shares.sum() == pytest.approx(1)
        if max(expected.values()) > 0.6:
            assert shares.idxmax() == max(expected, key=expected.get)
        off.append(np.mean([abs(shares[key] - share) for key, share in expected.items()]))
    assert np.mean(off) < 0.15


def test_a_hyperparameter_that_few_trials_have_is_no_news():
    """A learning sampler leaves the bad kernel soon, so that who has a degree is among the bad ones."""
    for seed in range(3):
        trials = trials_of(kernels, by_kernel, seed=seed, sampler=optuna.samplers.TPESampler)
        frame = importances_of_trials(trials).frame.set_index("hyperparameter")
        assert frame.loc["degree", "metric"] < 0.05
        assert math.isnan(frame.loc["degree", "within_branch"])  # the winner has another kernel
        assert math.isnan(frame.loc["kernel", "within_branch"])  # it is fixed there


def test_within_the_branch_what_is_searched_there_shares_all():
    found = importances_of_trials(trials_of(kernels, by_gamma, n=60))
    frame = found.frame.set_index("hyperparameter")
    assert frame["within_branch"].idxmax() == "gamma"
    assert frame["within_branch"].sum() == pytest.approx(1)
    assert found.sentence.startswith("gamma ")


def test_without_conditions_both_columns_are_the_same_and_the_same_trials_give_the_same():
    trials = trials_of(flat, additive)
    frame = importances_of_trials(trials).frame
    assert frame["within_branch"].equals(frame["metric"])
    assert frame.equals(importances_of_trials(trials).frame)


def test_hpo_show_python_the_dashboard_and_its_notes_say_the_same(tmp_path):
    path = tmp_path / "study.db"
    with hpo.StudyDatabase(path) as database:
        run = hpo.run(tree_study(), sampler="random", trials=12, database=database, progress="none")
        expected = hpo.importances(run)
        study_id = run.study_id
    dashboard = Served(path, "--port", "0")
    try:
        status, body = dashboard.ask(f"/api/studies/{study_id}/param_importances")
        assert status == 200
        (shares,) = json.loads(body)["param_importances"]
        assert [(one["name"], one["importance"]) for one in shares] == [
            (row["hyperparameter"], row["metric"]) for row in expected.rows() if not math.isnan(row["metric"])
        ]
        assert all(one["distribution"].endswith("Distribution") for one in shares)
        _, page = dashboard.ask(f"/api/studies/{study_id}")
        first = expected.sentence.split(", ")[0].split()[-1].rstrip("%")
        assert "importance for the score" in json.loads(page)["note"]["body"]
        assert first in json.loads(page)["note"]["body"]
        assert dashboard.ask("/api/studies/99/param_importances")[0] == 404
    finally:
        dashboard.end()
