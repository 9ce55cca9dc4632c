"""How many threads fits use: measured where it is cheap, chosen so that the clock does not decide what is stored."""

import threading
import time

import numpy as np
import pytest
from conftest import tree_study
from sklearn.base import BaseEstimator, ClassifierMixin
from threadpoolctl import threadpool_info

import hpo
from hpo.process.cores import LONGEST, Timed, choose_threads, cores

needs_cores = pytest.mark.skipif(cores() < 2, reason="one core leaves no choice")


def spin(seconds):
    begun = time.thread_time()
    while time.thread_time() - begun < seconds:
        pass


def most_threads():
    return max(pool["num_threads"] for pool in threadpool_info())


class Counting(ClassifierMixin, BaseEstimator):
    """Works in as many threads as BLAS may use; its score tells how many these were."""

    def __init__(self, shift=0.0, tells=True):
        self.shift, self.tells = shift, tells

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        others = [threading.Thread(target=spin, args=(0.02,)) for _ in range(most_threads() - 1)]
        for thread in others:
            thread.start()
        for thread in others:
            thread.join()
        return self

    def predict_proba(self, X):
        odds = np.full((len(X), 3), 1 / 3)
        odds[:, 0] += (self.shift + (1e-9 * most_threads() if self.tells else 0)) * np.array([1])
        return odds / odds.sum(axis=1, keepdims=True)

    def predict(self, X):
        return np.zeros(len(X), int)


def counting(**changes):
    return tree_study("counting", estimator=Counting(**changes), space={"shift": hpo.Float(0, 0.5)})


def timed(found=(0.5,), *, seconds=10.0, cpu=10.0, other=5.0):
    return Timed(found, seconds, cpu, other)


def test_one_thread_is_taken_where_it_is_faster():
    choice = choose_threads(lambda _: (0.5,), 8, timed())
    assert (choice.threads, choice.depends, choice.seconds) == (1, False, 10.0)


def test_all_cores_stay_where_they_are_faster():
    choice = choose_threads(lambda threads: spin(0.01) or (0.5,), 8, timed(seconds=1e-6))
    assert (choice.threads, choice.depends) == (8, False)


@pytest.mark.parametrize("seconds", [1e-6, 10.0])
def test_scores_that_depend_on_threads_are_those_of_one_whatever_the_clock_says(seconds):
    choice = choose_threads(
        lambda threads: spin(0.01) or (0.5 + 1e-16 * (threads == 1) * 2,), 8, timed(seconds=seconds)
    )
    assert (choice.threads, choice.depends) == (1, True)


@pytest.mark.parametrize(
    ("most", "known"),
    [(1, timed()), (8, timed(other=0.5)), (8, timed(cpu=LONGEST + 1)), (8, timed(cpu=0.004, other=0.003))],
)
def test_nothing_is_evaluated_again_in_vain(most, known):
    assert choose_threads(lambda _: pytest.fail("evaluated"), most, known) is None


def test_cpu_seconds_of_other_threads_are_told_from_those_of_the_caller():
    def evaluate():
        other = threading.Thread(target=spin, args=(0.1,))
        other.start()
        other.join()
        return "done"

    found = Timed.of(evaluate)
    assert found.found == "done"
    assert found.is_worth_measuring
    assert not Timed.of(lambda: spin(0.1)).other_seconds > 0.09


@needs_cores
def test_a_run_says_once_how_many_threads_its_fits_use_and_keeps_them(database, capsys):
    def run(trials, **options):
        made = hpo.run(counting(), sampler="random", trials=trials, database=database, **options)
        return made, [line for line in capsys.readouterr().err.splitlines() if "thread" in line]

    made, said = run(2)
    assert made.attributes["threads"] == 1
    assert len(said) == 1
    assert "depend on the number of threads" in said[0]
    resumed, said = run(4)
    assert (resumed.attributes["threads"], said) == (1, [])
    assert made.trials["value"].tolist()[:2] == resumed.trials["value"].tolist()[:2]
    other, said = run(2, seed=1)  # it was measured on this split
    assert (other.attributes["threads"], said) == (1, [])
    chosen, said = run(2, seed=2, threads=2)
    assert (chosen.attributes["threads"], said) == (2, [])


@needs_cores
def test_a_run_whose_scores_do_not_depend_on_threads_stores_the_same_with_any(tmp_path):
    runs = [
        hpo.run(counting(tells=False), sampler="random", trials=3, database=tmp_path / f"{threads}.db", threads=threads)
        for threads in (None, 1, 2)
    ]
    assert len({tuple(run.trials["value"]) for run in runs}) == 1


def test_a_reference_that_was_evaluated_with_more_threads_says_so(database):
    run = hpo.run(counting(), sampler="random", trials=1, database=database)
    assert database.run_attributes("counting/reference/split0-seed0")["threads"] == cores()
    assert run.reference is not None
