"""The loop: budgets, ends, resuming, reuse, failures, the reference."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
from conftest import FLAT, same_trials, tree_study
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_info

import hpo
from hpo import Categorical, Int
from hpo.evaluation.evaluate import Problem
from hpo.runs.stopping import RunOptions


def run(definition, database, **options):
    return hpo.run(definition, **{"sampler": "random", "database": database, "progress": "none", **options})


def test_the_budget_is_a_total(database, tree):
    assert len(run(tree, database, trials=5).trials) == 5
    assert len(run(tree, database, trials=5).trials) == 5
    assert len(run(tree, database, trials=8).trials) == 8
    assert len(run(tree, database, trials=2).trials) == 8


def test_values_are_those_of_scikit_learns_search(database):
    space = {"max_depth": Int(1, 4), "criterion": Categorical(["gini", "entropy"])}
    definition = tree_study(space=space, estimator=DecisionTreeClassifier(random_state=3))
    ours = run(definition, database, sampler="grid").trials
    problem = Problem(definition)
    X, y = load_iris(return_X_y=True)
    grid = {"max_depth": [1, 2, 3, 4], "criterion": ["gini", "entropy"]}
    search = GridSearchCV(
        DecisionTreeClassifier(random_state=3), grid, scoring="neg_brier_score", cv=problem.partition.folds,
        return_train_score=True,
    ).fit(X, y)  # fmt: skip
    theirs = {
        (params["max_depth"], params["criterion"]): (value, train)
        for params, value, train in zip(
            search.cv_results_["params"],
            search.cv_results_["mean_test_score"],
            search.cv_results_["mean_train_score"],
            strict=True,
        )
    }
    for row in ours.itertuples():
        value, train = theirs[row.params_max_depth, row.params_criterion]
        assert row.value == pytest.approx(value, abs=1e-15)
        assert row.train_score == pytest.approx(train, abs=1e-15)


def test_best_reference_and_best_estimator(database, tree):
    made = run(tree, database, trials=12)
    best = made.best
    assert best.value == made.trials["value"].max()
    assert made.best_params == best.params
    assert made.reference.value == pytest.approx(np.mean(made.reference.fold_scores))
    model = made.best_estimator()
    expected = {key: model.get_params()[key] for key in best.params}
    assert expected == best.params
    assert model.tree_.n_node_samples[0] == 120  # train and validation rows; 30 stay sealed


def test_walltime_is_a_budget_of_seconds_over_all_resumptions(tmp_path, tree):
    seconds = ["sampler_seconds", "fit_seconds", "score_seconds"]
    made = run(tree, tmp_path / "a.db", trials=500, walltime=0.1)
    spent = made.trials[seconds].sum(axis=1).cumsum()
    assert made.outcome.reason == "walltime"
    assert spent.iloc[-1] >= 0.1 > spent.iloc[-2]
    again = run(tree, tmp_path / "a.db", trials=500, walltime=0.1)
    assert (again.outcome.n_new, again.outcome.reason) == (0, "walltime")
    more = run(tree, tmp_path / "a.db", trials=500, walltime=0.15)
    assert more.outcome.n_new > 0
    assert more.trials.iloc[: len(made.trials)].equals(made.trials)
    assert more.database.runs().set_index("run").loc[str(more.name), "state"] == "done (walltime)"


def test_patience_and_target_depend_on_the_trials_only(tmp_path, tree):
    whole = run(tree, tmp_path / "a.db", trials=40).trials["value"]
    incumbent = whole.cummax()
    stale = next(n for n in range(40) if n >= 4 and incumbent[n] == incumbent[n - 4])
    patient = run(tree, tmp_path / "b.db", trials=40, patience=4)
    assert len(patient.trials) == stale + 1
    # Interrupted in the middle, it ends at the same trial.
    run(tree, tmp_path / "c.db", trials=stale - 1)
    assert same_trials(run(tree, tmp_path / "c.db", trials=40, patience=4).trials) == same_trials(patient.trials)
    target = float(np.sort(whole)[-3])
    hit = run(tree, tmp_path / "d.db", trials=40, target=target)
    assert len(hit.trials) == int((whole >= target).idxmax()) + 1
    assert hit.database.runs().set_index("run").loc[str(hit.name), "state"] == "done (target)"


def test_a_timeout_is_resumable_and_changes_nothing(tmp_path, tree):
    made = run(tree, tmp_path / "a.db", trials=30, timeout=0.02)
    assert (made.outcome.reason, made.outcome.is_done) == ("timeout", False)
    assert len(made.trials) < 30
    resumed = run(tree, tmp_path / "a.db", trials=30)
    assert same_trials(resumed.trials) == same_trials(run(tree, tmp_path / "b.db", trials=30).trials)


def test_a_finite_space_that_is_exhausted_is_done(database):
    definition = tree_study(space={"max_depth": Int(1, 2), "criterion": Categorical(["gini", "entropy"])})
    made = run(definition, database, trials=500)
    assert made.outcome.reason == "exhausted"
    assert len(made.trials) < 500
    assert len(made.trials[["params_max_depth", "params_criterion"]].drop_duplicates()) == 4


def test_a_configuration_evaluated_before_is_not_trained_again(tmp_path):
    definition = tree_study(space={"max_depth": Int(1, 3), "min_samples_leaf": Int(1, 3)})
    trials = run(definition, tmp_path / "a.db", trials=12, sampler="tpe(n_startup_trials=4)").trials
    keys = trials["configuration"]
    assert keys.duplicated().any()
    assert trials["duplicate_of"].notna().tolist() == keys.duplicated().tolist()
    trained = run(definition, tmp_path / "b.db", trials=12, sampler="tpe(n_startup_trials=4)", reuse=False).trials
    assert "duplicate_of" not in trained
    reuse_aside = [{k: v for k, v in t.items() if k != "duplicate_of"} for t in same_trials(trials)]
    assert reuse_aside == same_trials(trained)  # reuse does not change which trials a run has
    first = trials.drop_duplicates("configuration").set_index("configuration")
    for row in trials[keys.duplicated()].itertuples():
        assert row.fit_seconds == first.loc[row.configuration, "fit_seconds"]


def test_another_sampler_on_the_same_split_reuses_and_on_another_split_does_not(database):
    definition = tree_study(space={"max_depth": Int(1, 3)})
    run(definition, database, sampler="grid")
    other = run(definition, database, trials=3)
    assert other.trials["duplicate_of"].str.startswith("iris-tree/grid/split0-seed0#").all()
    elsewhere = run(definition, database, trials=1, split=1)
    assert "duplicate_of" not in elsewhere.trials


def test_a_study_that_something_else_made_under_a_runs_name_is_left_alone(database, tree):
    optuna.create_study(study_name="iris-tree/random/split0-seed0", storage=database.storage, direction="maximize")
    with pytest.raises(hpo.StudyChanged, match="iris-tree/random/split0-seed0 is a study that something else made"):
        run(tree, database, trials=2)
    assert not database.optuna_trials(database.study_id("iris-tree/random/split0-seed0"))


def test_start_configurations_come_first(database):
    start_with = [{"ccp_alpha": 0.01, "max_depth": 2, "min_samples_leaf": 3, "criterion": "gini"}]
    made = run(tree_study(space=FLAT, start=start_with), database, trials=3)
    assert made.trial(0).params == start_with[0]
    assert made.trial(1).params != start_with[0]


class Moody(DecisionTreeClassifier):
    """Fails in a way that its depth chooses."""

    def fit(self, X, y):
        if self.max_depth == 1:
            raise ValueError("too shallow\nto say")
        return super().fit(X, y)

    def predict_proba(self, X):
        return super().predict_proba(X) * (np.nan if self.max_depth == 2 else 1)


class Own(DecisionTreeClassifier):
    """As a user writes one in a notebook."""

    def fit(self, X, y):
        return super().fit(X, y)


def test_a_class_of_the_users_own_is_the_same_after_it_was_used(database):
    run(tree_study(estimator=Own()), database, trials=2)
    assert len(run(tree_study(estimator=Own()), database, trials=4).trials) == 4  # copying marks classes


def test_failed_trials_are_recorded_and_the_run_goes_on(database):
    trials = run(tree_study(space={"max_depth": Int(1, 3)}, estimator=Moody()), database, sampler="grid").trials
    by_depth = trials.set_index("params_max_depth")
    assert by_depth["state"].to_dict() == {1: "FAIL", 2: "FAIL", 3: "COMPLETE"}
    assert by_depth.loc[1, "error"] == "ValueError: too shallow to say"
    assert "raise ValueError" in by_depth.loc[1, "traceback"]
    assert "NaN" in by_depth.loc[2, "error"] or "nan" in by_depth.loc[2, "error"]


def test_when_all_fail_the_run_ends_and_says_the_most_frequent_error(database):
    with pytest.raises(
        hpo.RunFailed, match=r"all 2 trials of iris-tree/grid/split0-seed0 failed, 1 of them with: \w+Error"
    ):
        run(tree_study(space={"max_depth": Int(1, 2)}, estimator=Moody()), database, sampler="grid")
    assert (database.trials("iris-tree/grid/split0-seed0")["state"] == "FAIL").all()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"data": lambda: tuple(part[1:] for part in load_iris(return_X_y=True))}, "data"),
        ({"metric": "neg_log_loss"}, "metric"),
        ({"estimator": DecisionTreeClassifier(max_leaf_nodes=5)}, "estimator"),
        ({"split": hpo.Holdout(0.2, 0.2)}, "split"),
        ({"space": {**FLAT, "max_depth": Int(1, 9)}}, "space"),
        ({"extra_metrics": ["accuracy"]}, "metric"),
        ({"start": [{"ccp_alpha": 0.01, "max_depth": 2, "min_samples_leaf": 3, "criterion": "gini"}]}, "start"),
    ],
)
def test_a_changed_definition_is_named_and_a_new_version_begun(database, changes, named):
    run(tree_study(space=FLAT), database, trials=2)
    changed = tree_study(**{"space": FLAT, **changes})
    with pytest.raises(hpo.StudyChanged, match=rf"were made: {named}\. .*--new-version to start iris-tree@2"):
        run(changed, database, trials=2)
    assert run(changed, database, trials=2, new_version=True).name.versioned_study == "iris-tree@2"


@pytest.mark.parametrize(
    "options",
    [
        {"trials": 0},
        {"trials": -3},
        {"trials": 2.5},
        {"timeout": 0},
        {"patience": 0},
        {"walltime": 0},
        {"seed": -1},
        {"split": 1.5},
    ],
)
def test_bad_options_are_refused_before_anything_is_made(tmp_path, tree, options):
    with pytest.raises(hpo.InvalidOption, match=next(iter(options))):
        run(tree, tmp_path / "x.db", **options)
    assert not list(tmp_path.iterdir())


def test_threads_belong_to_the_run_from_its_beginning(database, tree):
    seen = []

    def metric(estimator, X, y):
        seen.append({pool["num_threads"] for pool in threadpool_info()})
        return estimator.score(X, y)

    definition = tree_study(metric=metric)
    assert run(definition, database, trials=2, threads=1).attributes["threads"] == 1
    assert run(definition, database, trials=3).attributes["threads"] == 1
    assert set.union(*seen) == {1}
    with pytest.raises(hpo.InvalidOption, match="has 1 and keeps them"):
        run(definition, database, trials=4, threads=2)
    with pytest.raises(hpo.InvalidOption, match="threads=0: give a whole number, 1 or more"):
        run(definition, database, trials=4, threads=0)


def test_progress_must_be_known(tmp_path, tree):
    with pytest.raises(hpo.InvalidOption, match="give one of auto, bar, lines, none"):
        run(tree, tmp_path / "x.db", progress="loud")


def test_run_options_are_checked_together():
    assert RunOptions(trials=3).trials == 3
    with pytest.raises(hpo.InvalidOption):
        RunOptions(trials=True)


def test_a_scipy_distribution_is_shown_by_its_values(database):
    import scipy.stats

    drawn = scipy.stats.expon(scale=0.01)
    made = run(tree_study(space={"ccp_alpha": drawn, "max_depth": Int(1, 3)}), database, trials=12)
    values = made.trials["params_ccp_alpha"]
    assert "ccp_alpha" not in made.trials
    assert (values > 0).all()
    assert 0.001 < values.median() < 0.1
    best = made.best
    assert best.params["ccp_alpha"] == pytest.approx(drawn.ppf(best.configuration["ccp_alpha"]))
    assert made.best_estimator().ccp_alpha == best.params["ccp_alpha"]
    same = run(tree_study(space={"ccp_alpha": drawn, "max_depth": Int(1, 3)}), database, trials=14)
    assert same.trials["params_ccp_alpha"][:12].tolist() == values.tolist()


WAITING = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import hpo
from conftest import tree_study
from sklearn.tree import DecisionTreeClassifier

HERE = Path(__file__).parent

class Waiting(DecisionTreeClassifier):
    def fit(self, X, y):
        fitted = HERE / "fits"
        fitted.write_text(fitted.read_text() + "." if fitted.exists() else ".")
        while len(fitted.read_text()) == 7 and not (HERE / "go").exists():  # into the fourth trial of two folds
            time.sleep(0.02)
        return super().fit(X, y)

study = tree_study(estimator=Waiting())
if __name__ == "__main__":
    hpo.main(study)
"""


@pytest.mark.slow
@pytest.mark.parametrize("n_signals", [1, 2])
def test_one_interrupt_finishes_the_trial_under_way_and_two_do_not(tmp_path, n_signals):
    script, path, fits = tmp_path / "waiting.py", tmp_path / "x.db", tmp_path / "fits"
    script.write_text(WAITING.format(tests=str(Path(__file__).parents[1])))
    process = subprocess.Popen(
        [sys.executable, "-u", str(script), "--sampler", "random", "--trials", "20", "--database", str(path)],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not fits.exists() or len(fits.read_text()) < 7:
        assert process.poll() is None
        time.sleep(0.02)
    assert count(path) == 3
    process.send_signal(signal.SIGINT)
    said = iter(process.stderr.readline, "")
    assert any("what is under way is finished and recorded first" in line for line in said)
    if n_signals == 2:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=300) == 130
    (tmp_path / "go").touch()
    process.communicate(timeout=300)
    assert process.returncode == 130
    assert count(path) == (4 if n_signals == 1 else 3)


def count(path) -> int:
    if not path.exists():
        return 0
    with hpo.StudyDatabase(path) as database:
        return len(database.trials())
