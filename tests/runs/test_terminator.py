"""Optuna's terminator: a run ends once what is left to gain is within the noise of its folds."""

import importlib.util
import sys

import numpy as np
import optuna
import pytest
from conftest import same_trials, tree_study
from driving import Shuffled, drive

import hpo
from hpo.cli.main import command
from hpo.runs.terminator import FEWEST_TRIALS, is_within_noise

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
STUDY = {"estimator": None, "space": {"max_depth": hpo.Int(1, 8), "min_impurity_decrease": hpo.Float(0.0, 0.05)}}


def trials(n, *, spread):
    """A smooth hill, climbed at random; the folds of each trial differ by ``spread``."""
    x = np.random.default_rng(0).uniform(0, 1, n)
    return [
        optuna.trial.create_trial(
            value=value,
            params={"x": place},
            distributions={"x": optuna.distributions.FloatDistribution(0, 1)},
            intermediate_values=dict(enumerate(value + np.linspace(-spread, spread, 5))),
        )
        for place, value in zip(x.tolist(), (-((x - 0.3) ** 2)).tolist(), strict=True)
    ]


def iris(**changes):
    from sklearn.tree import DecisionTreeClassifier

    given = {**STUDY, "estimator": DecisionTreeClassifier(), "split": hpo.CrossValidation(folds=5, test=0.2), **changes}
    return tree_study("iris-noisy", **given)


@needs_torch
def test_noise_ends_a_run_and_what_is_left_to_gain_does_not():
    assert is_within_noise(trials(FEWEST_TRIALS, spread=1.0))
    assert not is_within_noise(trials(FEWEST_TRIALS, spread=1e-7))
    assert not is_within_noise(trials(FEWEST_TRIALS - 1, spread=1.0))


@needs_torch
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_neither_workers_nor_cuts_change_where_it_ends(tmp_path, sampler):
    found = []
    for name, steps in {"one": [(1, None)], "three": [(3, None)], "cut": [(2, 7), (1, 31), (3, None)]}.items():
        with hpo.StudyDatabase(tmp_path / f"{name}.db") as database:
            for n_workers, stop_after in steps:
                engine = Shuffled(None, n_workers, seed=n_workers)
                options = {"sampler": sampler, "trials": 60, "terminator": True, "lag": 2 if sampler == "tpe" else 1}
                loop, table = drive(iris(), database, engine, stop_after=stop_after, **options)
            assert loop.reason == "terminator"
            found.append(same_trials(table))
    assert FEWEST_TRIALS <= len(table) < 60
    assert found[0] == found[1] == found[2]


@needs_torch
def test_it_stays_ended_until_it_is_continued_without(tmp_path, capsys):
    options = {"sampler": "random", "trials": 40, "database": tmp_path / "a.db", "progress": "none"}
    ended = hpo.run(iris(), terminator=True, **options)
    n = len(ended.trials)
    assert (ended.outcome.reason, n < 40) == ("terminator", True)
    assert ended.outcome.is_done
    again = hpo.run(iris(), terminator=True, **options)
    assert (again.outcome.reason, again.outcome.n_new) == ("terminator", 0)
    with hpo.StudyDatabase(tmp_path / "a.db") as database:
        assert database.runs().set_index("run").loc[str(ended.name), "state"] == "done (terminator)"
    more = hpo.run(iris(), **options)
    assert (more.outcome.reason, more.outcome.n_new) == ("budget", 40 - n)


@needs_torch
def test_the_command_says_why_it_ended(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status = command(
        ["run", "wine-tree", "--sampler", "random", "--trials", "60", "--terminator", "--progress", "none"]
    )
    assert status == 0
    assert "what is left to gain is within the noise of the folds" in capsys.readouterr().out


@pytest.mark.parametrize(("changes", "torch", "message"), [
    ({"split": hpo.Holdout(test=0.2, validation=0.2)}, True, "has one validation set"),
    ({}, False, "pip install 'hpo-studies\\[torch\\]'"),
])  # fmt: skip
def test_what_it_needs_is_said_before_anything_is_stored(tmp_path, monkeypatch, changes, torch, message):
    if not torch:
        monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(hpo.InvalidOption, match=message):
        hpo.run(iris(**changes), terminator=True, database=tmp_path / "a.db")
    with pytest.raises(hpo.InvalidOption, match="terminator='yes': give True or False"):
        hpo.run(iris(), terminator="yes", database=tmp_path / "a.db")
    assert not (tmp_path / "a.db").exists()
