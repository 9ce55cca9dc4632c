"""A stored score is shown only for what gave it: whatever decides a score is hashed, or seen by evaluating again."""

import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris

import hpo
from hpo.cli.main import command
from hpo.evaluation.reproduction import Reproduction, allowance, reproduce

X, Y = load_iris(return_X_y=True)


def elsewhere():
    """What a file says, which no hash sees."""
    path = Path(os.environ.get("OFFSET_FILE", "none"))
    return float(path.read_text()) if path.exists() else 0.0


class Threshold(ClassifierMixin, BaseEstimator):
    """Predicts by a threshold that its parameter, and much else, decides."""

    def __init__(self, cut=2.5):
        self.cut = cut

    def fit(self, X, y):
        """Nothing to learn."""
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        """Two of three species by the length of their petals."""
        shift = float(os.environ.get("SHIFT", "0")) + elsewhere() + getattr(self, "beside", 0.0)
        return (X[:, 2] + shift > self.cut).astype(int) + (X[:, 2] + shift > self.cut + 2.3)


def study(*, beside=0.0, cell=None, estimator=None, **changes):
    model = Threshold() if estimator is None else estimator
    if beside:
        model.beside = beside
    rows = X.copy()
    if cell is not None:
        rows[cell % len(rows), 2] += 3.0
    made = {
        "name": "threshold",
        "data": lambda: (rows, Y),
        "estimator": model,
        "space": {"cut": hpo.Float(1.0, 4.0)},
        "metric": "accuracy",
        "split": hpo.CrossValidation(folds=3, test=0.2),
    }
    return hpo.StudyDefinition(**{**made, **changes})


def run(definition, database, **options):
    return hpo.run(definition, database=database, sampler="random", progress="none", **{"trials": 3, **options})


def scores(found):
    return list(found.trials["value"])


# --- what is seen by evaluating again ---


@pytest.mark.parametrize("where", ["environment", "elsewhere"])
def test_a_change_that_no_hash_sees_is_seen_by_evaluating_again(tmp_path, monkeypatch, where):
    monkeypatch.setenv("OFFSET_FILE", str(tmp_path / "offset"))
    before = run(study(), tmp_path / "x.db")
    stored = scores(before)
    if where == "environment":
        monkeypatch.setenv("SHIFT", "1.5")
    else:
        (tmp_path / "offset").write_text("1.5")
    for trials in (3, 5):  # what is there is shown, or gone on with
        with pytest.raises(hpo.StudyChanged, match=r"scored [\d.]+ when it was stored, and scores [\d.]+ evaluated"):
            run(study(), tmp_path / "x.db", trials=trials)
    with pytest.raises(hpo.StudyChanged, match="--new-version to start threshold@2"):
        hpo.compare(
            study(), samplers=["random", "grid"], repetitions=2, trials=2, database=tmp_path / "x.db", workers=1
        )
    with pytest.raises(hpo.StudyChanged):
        hpo.try_configuration(study(), {"cut": 2.0}, database=tmp_path / "x.db")
    with pytest.raises(hpo.StudyChanged):
        before.export(tmp_path / "model")
    anew = run(study(), tmp_path / "x.db", new_version=True)
    assert anew.name.versioned_study == "threshold@2"
    assert anew.trials["duplicate_of"].isna().all() if "duplicate_of" in anew.trials else True
    assert scores(anew) == scores(run(study(), tmp_path / "fresh.db")) != stored
    assert run(study(), tmp_path / "x.db", trials=4).name.versioned_study == "threshold@2"
    monkeypatch.delenv("SHIFT", raising=False)
    (tmp_path / "offset").unlink(missing_ok=True)
    back = run(study(), tmp_path / "x.db", trials=4)  # undone: the first version gives its scores again
    assert back.name.versioned_study == "threshold"
    assert scores(back)[:3] == stored


def test_a_search_sees_it_too(tmp_path, monkeypatch):
    def search():
        return hpo.SearchCV(
            Threshold(), {"cut": [1.0, 2.5]}, sampler="grid", cv=3, database=tmp_path / "x.db", random_state=0
        )

    first = search().fit(X, Y)
    assert search().fit(X, Y).cv_results_["mean_test_score"].tolist() == first.cv_results_["mean_test_score"].tolist()
    monkeypatch.setenv("SHIFT", "1.5")
    with pytest.raises(hpo.StudyChanged, match="no longer gives its stored scores"):
        search().fit(X, Y)


class Careless(Threshold):
    """Draws its threshold anew in every fit, as many networks do."""

    generator = np.random.default_rng(0)

    def fit(self, X, y):
        """Draw."""
        self.drawn_ = float(self.generator.normal(0.0, 0.3))
        return super().fit(X, y)

    def predict(self, X):
        """By what was drawn."""
        return (X[:, 2] + self.drawn_ > self.cut).astype(int)


def test_an_estimator_that_does_not_repeat_itself_is_held_to_its_own_spread(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "hpo.evaluation.reproduction.SPREADS", 50.0
    )  # of four draws: no false alarm, and 0.3 is no excuse for 9
    definition = study(estimator=Careless(), metric=lambda e, X, y: float(getattr(e, "drawn_", 0.0)) + elsewhere())
    monkeypatch.setenv("OFFSET_FILE", str(tmp_path / "offset"))
    run(definition, tmp_path / "x.db")
    run(definition, tmp_path / "x.db", trials=4)
    (tmp_path / "offset").write_text("100")
    with pytest.raises(hpo.StudyChanged, match=r"in 4 evaluations"):
        run(definition, tmp_path / "x.db", trials=5)


def test_reproducing_is_one_evaluation_where_the_score_is_the_same():
    asked = []

    def evaluate(values):
        left = iter(values)
        return lambda: asked.append(1) or next(left)

    assert reproduce("r#0", 0, 0.5, evaluate([0.5 + 1e-4])).holds  # as solvers stop at a tolerance
    assert len(asked) == 1
    assert not reproduce("r#0", 0, 0.5, evaluate([0.6, 0.6, 0.6, 0.6])).holds
    assert reproduce("r#0", 0, 0.5, evaluate([0.6, 0.45, 0.55, 0.52])).holds
    assert not reproduce("r#0", 0, 0.5, evaluate([0.9, 0.91, 0.92, 0.9])).holds
    assert not reproduce("r#0", 0, 0.5, evaluate(["ValueError: no"])).holds
    assert reproduce("r#0", 0, 0.5, evaluate([0.9, 0.5])).holds
    assert "fails now ValueError: no" in Reproduction("r#0", 1, 0.5, (), "ValueError: no").sentence


@given(st.floats(0, 1e9))
def test_checking_takes_a_fiftieth_of_what_was_stored_and_ten_seconds_at_most(seconds):
    assert 1.0 <= allowance(seconds) <= 10.0
    assert allowance(seconds) <= max(1.0, seconds / 50)


def test_what_takes_too_long_is_said_and_left_to_the_doctor(tmp_path, monkeypatch, capsys):
    (tmp_path / "studies").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies" / "threshold.py").write_text(
        "import os\nimport hpo\nfrom sklearn.datasets import load_iris\n"
        "from sklearn.tree import DecisionTreeClassifier\n"
        "def metric(e, X, y):\n    return e.score(X, y) + float(os.environ.get('SHIFT', '0'))\n"
        "study = hpo.StudyDefinition('threshold', load_iris, DecisionTreeClassifier(), {'max_depth': [1, 2]}, metric)\n"
    )
    hpo.run("threshold", sampler="random", trials=1, database="x.db", progress="none")
    with sqlite3.connect("x.db") as connection:  # as if each had taken hours
        connection.execute("UPDATE trial_user_attributes SET value_json = '9e9' WHERE key = 'fit_seconds'")
    connection.close()
    monkeypatch.setenv("SHIFT", "1")
    hpo.run("threshold", sampler="random", trials=1, database="x.db", progress="lines")
    assert "were not checked, because one fold takes about" in capsys.readouterr().err
    assert command(["doctor", "--database", "x.db"]) == 0
    assert command(["doctor", "--database", "x.db", "--evaluate"]) == 1
    assert "threshold no longer gives its stored scores" in capsys.readouterr().out


# --- any change at all ---

CAUSES = st.fixed_dictionaries(
    {},
    optional={
        "beside": st.sampled_from([0.5, 1.5]),
        "cell": st.integers(0, 149),
        "cut": st.sampled_from([(1.5, 4.0), (1.0, 6.0)]),
        "environment": st.sampled_from(["0.8", "1.5"]),
        "elsewhere": st.sampled_from([0.8, 1.5]),
        "metric": st.sampled_from(["balanced_accuracy", "f1_macro"]),
        "folds": st.sampled_from([2, 4]),
    },
)


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CAUSES)
def test_whatever_changes_a_score_is_refused_or_gives_the_right_scores(tmp_path_factory, causes):
    folder = tmp_path_factory.mktemp("causes")
    changes = {key: causes[key] for key in ("beside", "cell", "metric") if key in causes}
    if "cut" in causes:
        changes["space"] = {"cut": hpo.Float(*causes["cut"])}
    if "folds" in causes:
        changes["split"] = hpo.CrossValidation(folds=causes["folds"], test=0.2)
    run(study(), folder / "x.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OFFSET_FILE", str(folder / "offset"))
        (folder / "offset").write_text(str(causes.get("elsewhere", 0.0)))
        patch.setenv("SHIFT", causes.get("environment", "0"))
        right = scores(run(study(**changes), folder / "right.db"))
        try:
            shown = scores(run(study(**changes), folder / "x.db"))
        except hpo.StudyChanged:
            return
    assert shown == right
    shutil.rmtree(folder)
