"""One run's loop, driven by hand: whichever worker is faster, and wherever it is cut, the trials are the same."""

from collections import Counter

import pytest
from conftest import FLAT, same_trials, tree_study
from driving import Shuffled, drive
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo import CrossValidation, Int
from hpo.database.run_name import RunName
from hpo.evaluation.engine import UnitResult
from hpo.evaluation.results import FoldResult, combine
from hpo.runs.loop import Folds, RunLoop
from hpo.runs.progress import Progress
from hpo.runs.recording import RunSoFar
from hpo.runs.stopping import RunOptions
from hpo.samplers.ask_tell import WorkingStudy
from hpo.samplers.table import find_sampler
from hpo.units import Metric


@pytest.fixture
def study():
    return tree_study(space=FLAT, split=CrossValidation(folds=3, test=0.2))


SAMPLERS = [
    ("tpe(n_startup_trials=4)", 1), ("tpe(n_startup_trials=4)", 3), ("cmaes", 4), ("random", 1), ("grid", 1),
    ("random+racing(alpha=0.3)", 2), ("auto", 1), ("auto+racing(alpha=0.3)", 3),
]  # fmt: skip


@pytest.mark.parametrize(("sampler", "lag"), SAMPLERS)
def test_neither_timing_nor_the_number_of_workers_changes_a_trial(tmp_path, study, sampler, lag):
    found = []
    for n_workers, seed in ((1, 0), (2, 1), (4, 2)):
        with hpo.StudyDatabase(tmp_path / f"{n_workers}-{seed}.db") as database:
            engine = Shuffled(None, n_workers, seed)
            loop, trials = drive(study, database, engine, sampler=sampler, lag=lag, trials=11)
            assert loop.reason == "budget"
            found.append(same_trials(trials))
            if find_sampler(sampler).is_adaptive:
                assert max(engine.n_under_way) == lag
    assert all(trials == found[0] for trials in found)
    assert [trial["number"] for trial in found[0]] == list(range(11))


@pytest.mark.parametrize(("sampler", "lag"), SAMPLERS)
def test_cut_at_every_place_and_resumed_equals_uninterrupted(tmp_path, study, sampler, lag):
    options = {"sampler": sampler, "lag": lag, "trials": 8}
    with hpo.StudyDatabase(tmp_path / "whole.db") as database:
        whole = same_trials(drive(study, database, Shuffled(None, 1, 0), **options)[1])
    for stop_after in range(0, 12, 3):
        with hpo.StudyDatabase(tmp_path / f"{stop_after}.db") as database:
            for seed in range(30):
                engine = Shuffled(None, 1 + seed % 3, seed)
                loop, trials = drive(study, database, engine, stop_after=stop_after + 1, **options)
                assert trials["number"].tolist() == list(range(len(trials)))
                if loop.reason == "budget":
                    break
                assert loop.reason == "interrupted"
            assert same_trials(trials) == whole


def test_workers_that_die_change_nothing(tmp_path, study):
    with hpo.StudyDatabase(tmp_path / "a.db") as database:
        whole = same_trials(drive(study, database, Shuffled(None, 2, 0), lag=2, trials=8)[1])
    for seed in range(3):
        with hpo.StudyDatabase(tmp_path / f"b{seed}.db") as database:
            engine = Shuffled(None, 2, seed, dies=0.1)
            trials = drive(study, database, engine, lag=2, trials=8)[1]
            survived = trials["state"] == "COMPLETE"
            if survived.all():
                assert same_trials(trials) == whole
            else:  # at most three workers die of one trial
                assert trials.loc[~survived, "error"].str.startswith("WorkerDied: 3 workers died of it").all()

    def fit(self, X, y):
        return super().fit(X, y)


def pretend_slow(monkeypatch):
    """Folds that claim to have taken a second, so that they are worth holding."""
    import dataclasses

    import driving

    original = driving.evaluate_folds

    def slow(problem, used, folds, watching):
        for result in original(problem, used, folds, watching):
            yield dataclasses.replace(result, fit_seconds=1.0)

    monkeypatch.setattr(driving, "evaluate_folds", slow)


def test_folds_that_are_known_are_not_computed_again(tmp_path, study, monkeypatch):
    pretend_slow(monkeypatch)
    fits: Counter = Counter()
    with hpo.StudyDatabase(tmp_path / "x.db") as database:
        for seed in range(100):
            engine = Shuffled(None, 2, seed)
            wait, n_left = engine.wait, iter(range(2))

            def killed(wait=wait, n_left=n_left):  # as kill -9 would: nothing more is told, nothing given back
                if next(n_left, None) is None:
                    raise ConnectionError
                return wait()

            engine.wait = killed
            try:
                loop, trials = drive(study, database, engine, sampler="tpe", lag=2, trials=5)
            except ConnectionError:
                continue
            finally:
                fits.update(engine.fits)
            break
        assert loop.reason == "budget"
        assert fits == {(number, fold): 1 for number in range(5) for fold in range(3)}
        assert database.held(database.study_id(str(loop.name))) == {}
    with hpo.StudyDatabase(tmp_path / "whole.db") as database:
        whole = drive(study, database, Shuffled(None, 1, 0), sampler="tpe", lag=2, trials=5)[1]
    assert same_trials(trials) == same_trials(whole)


def test_deaths_of_workers_are_counted_across_interruptions(tmp_path, study):
    with hpo.StudyDatabase(tmp_path / "x.db") as database:
        for n_deaths in range(3):
            engine = Shuffled(None, 1, 0, dies=1.0)
            wait, n_left = engine.wait, iter(range(1))

            def killed(wait=wait, n_left=n_left):
                if next(n_left, None) is None:
                    raise ConnectionError
                return wait()

            engine.wait = killed
            try:
                trials = drive(study, database, engine, sampler="random", trials=1)[1]
            except ConnectionError:
                assert n_deaths < 2
        assert trials["error"].tolist() == ["WorkerDied: 3 workers died of it, the last by signal SIGKILL"]


class Moody(DecisionTreeClassifier):
    """Fails on some of its folds."""

    def fit(self, X, y):
        if self.max_depth == 2 and y[0] == y[1]:
            raise ValueError("not today")
        return super().fit(X, y)


def test_a_failing_fold_fails_the_trial_the_same_whoever_finishes_first(tmp_path):
    study = tree_study(space={"max_depth": Int(1, 4)}, estimator=Moody(), split=CrossValidation(folds=5))
    found = []
    for n_workers, seed in ((1, 0), (3, 1), (3, 2)):
        with hpo.StudyDatabase(tmp_path / f"{seed}.db") as database:
            engine = Shuffled(None, n_workers, seed)
            found.append(same_trials(drive(study, database, engine, sampler="grid", trials=4)[1]))
    assert found[0] == found[1] == found[2]
    assert [trial["state"] for trial in found[0]].count("FAIL") == 1


def test_equal_configurations_under_way_are_trained_once(tmp_path):
    study = tree_study(space={"max_depth": Int(1, 3), "min_samples_leaf": Int(1, 2)}, split=CrossValidation(folds=2))
    found = []
    for n_workers, seed in ((1, 0), (4, 1), (4, 2)):
        with hpo.StudyDatabase(tmp_path / f"{seed}.db") as database:
            engine = Shuffled(None, n_workers, seed)
            _, trials = drive(study, database, engine, sampler="tpe(n_startup_trials=4)", lag=4, trials=12)
            assert len(engine.fits) == 2 * trials["configuration"].nunique()
            assert trials["duplicate_of"].isna().sum() == trials["configuration"].nunique()
            found.append(same_trials(trials))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(("sampler", "lag"), [("random", 1), ("tpe(n_startup_trials=4)", 3)])
def test_target_and_patience_end_at_the_same_trial(tmp_path, study, sampler, lag):
    with hpo.StudyDatabase(tmp_path / "whole.db") as database:
        values = drive(study, database, Shuffled(None, 1, 0), sampler=sampler, lag=lag, trials=30)[1]["value"]
    target = float(values.sort_values().iloc[-3])
    reached = int((values >= target).idxmax())
    for n_workers in (1, 4):
        with hpo.StudyDatabase(tmp_path / f"{n_workers}.db") as database:
            engine = Shuffled(None, n_workers, 5)
            options = {"sampler": sampler, "lag": lag, "trials": 30, "target": target}
            for stop_after in (3, reached, None):  # interrupted on the way
                loop, trials = drive(study, database, engine, stop_after=stop_after, **options)
                engine = Shuffled(None, n_workers, 6)
            # Those under way when it was reached are finished; none of them where the lag does not matter.
            assert len(trials) == min(reached + lag, 30)
            assert loop.reason == "target"


def test_the_lag_belongs_to_the_run(database, study):
    drive(study, database, Shuffled(None, 2, 0), lag=2, trials=4)
    loop, _ = drive(study, database, Shuffled(None, 4, 0), lag=4, trials=6)  # as another number of workers would
    assert loop.width == 2
    with pytest.raises(hpo.InvalidOption, match=r"lag=3: iris-tree/tpe/split0-seed0 has the lag 2 and keeps it"):
        hpo.run(study, database=database, trials=8, lag=3, progress="none")


def test_a_run_with_a_lag_is_not_compared(database, study):
    hpo.run(study, sampler="tpe", database=database, trials=3, lag=2, progress="none")
    options = {"repetitions": 2, "trials": 3, "database": database, "workers": 1, "progress": "none"}
    with pytest.raises(hpo.NotComparable, match=r"iris-tree/tpe/split0-seed0 was proposed with the lag 2"):
        hpo.compare(study, samplers=["random", "tpe"], **options)
    hpo.run(study, sampler="random", database=database, trials=3, lag=2, progress="none")  # its results do not matter
    assert hpo.compare(study, samplers=["random", "grid"], **options).table["trials"].tolist() == [6, 6]


class Kept:
    """All that a loop asks of what it records in: a list, and the evaluations of equal configurations."""

    def __init__(self):
        self.records, self.known = [], {}

    def record(self, record):
        self.records.append(record)

    def hold(self, number, configuration, results, deaths):
        raise AssertionError("no fold took long")

    def find(self, key):
        return self.known.get(key)

    def add(self, key, trial, evaluation):
        self.known.setdefault(key, (evaluation, trial))


@pytest.mark.parametrize(("lag", "n_ahead"), [(None, 1), (None, 200), (3, 1)])
def test_a_loop_needs_neither_study_nor_database_and_trains_equal_configurations_once(lag, n_ahead):
    cells, fits, kept = [{"depth": 1.0 + n % 3} for n in range(40)], Counter(), Kept()
    name, space = RunName("any", 1, "random", 0, 0), hpo.SearchSpace({"depth": hpo.Float(1, 3)})
    loop = RunLoop(
        name, RunSoFar(), WorkingStudy(name, space, find_sampler("random"), start=cells), kept,
        Folds(2, lambda results, pruned_at: combine("score", results, pruned_at=pruned_at)), RunOptions(),
        budget=len(cells), lag=lag, equals=kept,
    )  # fmt: skip
    loop.n_ahead = n_ahead
    while True:
        units = loop.advance(1.0, Progress("none", Metric("score", 1)))
        if loop.reason is not None:
            break
        for unit in reversed(units):
            fits.update((unit.configuration["depth"], fold) for fold in unit.folds)
            score = {"score": unit.configuration["depth"]}
            loop.receive(UnitResult(unit, tuple(FoldResult(score) for _ in unit.folds)))
    assert fits == {(depth, fold): 1 for depth in (1, 2, 3) for fold in range(2)}
    assert [record.trial.value for record in kept.records] == [cell["depth"] for cell in cells]
    origins = [record.trial.user_attrs.get("duplicate_of") for record in kept.records]
    assert origins == [None] * 3 + [f"{name}#{n % 3}" for n in range(3, 40)]
    assert (loop.n_new, loop.n_reused, loop.best) == (40, 37, 3.0)
