"""The final model: trained on train and validation rows, tested once, written whole, refused when it was changed."""

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import tree_study
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo.cli.main import command
from hpo.evaluation.evaluate import Problem
from hpo.models.folder import check_target, write_folder

ROOT = Path(__file__).resolve().parents[2]
FILES = {"model.skops", "manifest.json", "README.md"}
SCRIPT = '''
"""A study with an estimator of its own."""
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
import hpo

class Nearest(ClassifierMixin, BaseEstimator):
    def __init__(self, power=2.0):
        self.power = power
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.means_ = np.array([X[y == c].mean(axis=0) for c in self.classes_])
        return self
    def predict(self, X):
        far = (np.abs(X[:, None] - self.means_) ** self.power).sum(axis=2)
        return self.classes_[far.argmin(axis=1)]

study = hpo.StudyDefinition(
    name="own", data=lambda: load_iris(return_X_y=True), estimator=Nearest(),
    space={"power": hpo.Float(1, 3)}, metric="accuracy", split=hpo.CrossValidation(folds=2),
)
'''


@pytest.fixture
def run(tree, database):
    return hpo.run(tree, sampler="random", trials=4, database=database, progress="none")


def mixed_frame():
    """Numbers, categories and a target of text."""
    iris = load_iris(as_frame=True)
    X = iris.data.assign(colour=np.array(["red", "green", "blue"])[np.arange(150) % 3])
    return X, iris.target.map(dict(enumerate(iris.target_names)))


def build_mlp(params):
    return make_pipeline(StandardScaler(), MLPClassifier((params["width"],), max_iter=20))


CASES = {
    "pipeline-svc": {
        "estimator": make_pipeline(StandardScaler(), SVC()),
        "space": {"svc__C": hpo.Float(0.1, 10)},
        "metric": "accuracy",
    },
    "forest": {"estimator": RandomForestClassifier(5), "space": {"max_depth": hpo.Int(1, 4)}},
    "hist-boosting": {
        "estimator": HistGradientBoostingClassifier(max_iter=5),
        "space": {"learning_rate": hpo.Float(0.1, 1)},
    },
    "boosting": {
        "data": load_diabetes,
        "metric": "r2",
        "estimator": GradientBoostingRegressor(n_estimators=5),
        "space": {"loss": ["squared_error", "huber"], "max_depth": hpo.Int(1, 3)},
    },
    "hist-regressor": {
        "data": load_diabetes,
        "metric": "r2",
        "estimator": HistGradientBoostingRegressor(max_iter=5, loss="quantile", quantile=0.4),
        "space": {"max_depth": hpo.Int(1, 3)},
    },
    "function-mlp": {
        "data": load_digits,
        "estimator": build_mlp,
        "space": {"width": hpo.Int(4, 8)},
        "reference": {"width": 5},
    },
    "mixed-frame": {
        "data": mixed_frame,
        "estimator": make_pipeline(
            make_column_transformer((OneHotEncoder(), ["colour"]), remainder=StandardScaler()),
            LogisticRegression(max_iter=50),
        ),
        "space": {"logisticregression__C": hpo.Float(0.1, 10)},
    },
    "neighbours": {"estimator": KNeighborsClassifier(), "space": {"n_neighbors": hpo.Int(1, 9)}},
    "k-means": {
        "data": lambda: load_iris().data,
        "estimator": KMeans(n_init=1),
        "space": {"n_clusters": hpo.Int(2, 5)},
        "metric": lambda estimator, X, y: estimator.score(X),
    },
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_is_loaded_predicts_as_what_was_trained(name, database, tmp_path):
    definition = tree_study(name, **CASES[name])
    run = hpo.run(definition, sampler="random", trials=2, database=database, progress="none")
    exported = run.export(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == FILES
    loaded = hpo.load_model(tmp_path / "model", digest=exported.digest)
    trained, problem = run.best_estimator(), Problem(definition)
    X, _, _ = problem.rows(problem.partition.test)
    assert np.array_equal(loaded.predict(X), trained.predict(X))
    X_test, y_test, _ = problem.rows(problem.partition.test)
    assert exported.test == pytest.approx(problem.scorer(loaded, X_test, y_test)[problem.metric])
    assert exported.types == ()


def test_each_opening_of_the_seal_is_counted_and_said_and_none_is_repeated(tree, run, database, tmp_path):
    assert database.test_scores("iris-tree").empty
    first = run.export(tmp_path / "one")
    assert first.n_opened == len(database.test_scores("iris-tree")) == 2  # the reference's is beside it
    again = run.export(tmp_path / "two")
    assert "not opened anew" in again.about_test
    assert (again.test, again.n_opened) == (first.test, 2)
    hpo.compare(
        tree, samplers=["random", "tpe"], repetitions=6, trials=4, workers=1, database=database, progress="none"
    )
    n_opened = len(database.test_scores("iris-tree"))
    assert n_opened > 2
    third = run.export(tmp_path / "three")
    assert third.n_opened == n_opened
    said = f"have been scored for {n_opened} configurations"
    assert said in (tmp_path / "three" / "README.md").read_text()
    assert said in json.loads((tmp_path / "three" / "manifest.json").read_text())["test"]["said"]
    other = hpo.Run("iris-tree/tpe/split1-seed1", database, tree)  # the comparison has scored its incumbent
    assert "had scored this configuration" in other.export(tmp_path / "four").about_test
    assert len(database.test_scores("iris-tree")) == n_opened


def test_a_drop_from_validation_to_test_can_be_read(tree, run, database, tmp_path):
    """The interval over the rows, the reference beside it, and what both say, in the card as in the result."""
    exported = run.export(tmp_path / "model")
    problem = Problem(tree)
    X, y, _ = problem.rows(problem.partition.development)
    X_test, y_test, _ = problem.rows(problem.partition.test)
    reference = problem.estimator(tree.reference_used()).fit(X, y)
    by_hand = problem.scorer(reference, X_test, y_test)[problem.metric]
    assert exported.reference_test == pytest.approx(by_hand)
    assert exported.test_error > 0
    assert exported.reference_test_error > 0
    card = (tmp_path / "model" / "README.md").read_text()
    metric = exported.metric
    beside = [metric.text(exported.test, exported.test_error), metric.text(by_hand, exported.reference_test_error)]
    assert f"| {beside[0]} | {beside[1]} |" in card
    assert exported.reading in card
    is_luck = abs(exported.value - exported.test) <= exported.test_error
    assert ("may be the luck of these rows" in exported.reading) == is_luck
    assert "On the same rows it is" in exported.reading


def test_the_seal_stays_closed_where_nothing_is_sealed_or_nobody_wants_it(run, database, tmp_path):
    exported = run.export(tmp_path / "shut", open_test=False)
    assert exported.test is None
    assert "stayed sealed" in exported.about_test
    assert database.test_scores("iris-tree").empty
    unsealed = tree_study("unsealed", split=hpo.CrossValidation(folds=2, test=0))
    exported = hpo.run(unsealed, trials=1, database=database, progress="none").export(tmp_path / "unsealed")
    assert exported.test is None
    assert "test=0" in (tmp_path / "unsealed" / "README.md").read_text()
    assert database.test_scores("unsealed").empty


class CannotTest(DecisionTreeClassifier):
    def predict_proba(self, X):
        if len(X) == 30:  # the test rows
            raise ValueError("thirty rows")
        return super().predict_proba(X)


def test_a_model_that_cannot_be_tested_is_written_and_says_so(database, tmp_path):
    run = hpo.run(tree_study(estimator=CannotTest()), trials=1, database=database, progress="none")
    exported = run.export(tmp_path / "model")
    assert exported.test is None
    assert "that failed (ValueError: thirty rows)" in exported.about_test
    assert exported.types == (f"{__name__}.CannotTest",)
    with pytest.raises(hpo.UntrustedModel, match="CannotTest"):
        hpo.load_model(tmp_path / "model")
    assert isinstance(hpo.load_model(tmp_path / "model", trusted=exported.types), CannotTest)


# --- tampering ---


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_changed_file_is_refused(name, run, tmp_path):
    run.export(tmp_path / "model")
    path = tmp_path / "model" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(hpo.ModelTampered, match=name.replace(".", r"\.")):
        hpo.load_model(tmp_path / "model")


@pytest.mark.parametrize("name", sorted(FILES - {"manifest.json"}))
def test_a_missing_file_is_refused(name, run, tmp_path):
    run.export(tmp_path / "model")
    (tmp_path / "model" / name).unlink()
    with pytest.raises(hpo.ModelTampered, match=f"lacks {name}"):
        hpo.load_model(tmp_path / "model")


def test_each_statement_of_the_manifest_is_covered_by_its_digest(run, tmp_path):
    run.export(tmp_path / "model")
    path = tmp_path / "model" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest))  # another layout says the same
    hpo.load_model(tmp_path / "model")
    for key in manifest:
        changed = {**manifest, key: "another"}
        path.write_text(json.dumps(changed))
        with pytest.raises(hpo.ModelTampered):
            hpo.load_model(tmp_path / "model")
        path.write_text(json.dumps({k: v for k, v in manifest.items() if k != key}))
        with pytest.raises(hpo.ModelTampered):
            hpo.load_model(tmp_path / "model")


def test_a_folder_forged_as_a_whole_is_told_by_the_digest_alone(tree, run, database, tmp_path):
    exported = run.export(tmp_path / "model")
    other = hpo.run(tree, sampler="random", seed=1, trials=3, database=database, progress="none")
    other.export(tmp_path / "model", force=True)
    hpo.load_model(tmp_path / "model")
    with pytest.raises(hpo.ModelTampered, match="not the model that was asked for"):
        hpo.load_model(tmp_path / "model", digest=exported.digest)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "model.pkl"])
def test_a_manifest_leads_nowhere_else(name, tmp_path):
    (tmp_path / "secret").write_text("secret")
    write_folder(tmp_path / "model", {}, {})
    path = tmp_path / "model" / "manifest.json"
    manifest = json.loads(path.read_text())
    from hpo.models.folder import manifest_digest

    manifest["files"] = {name: {"sha256": "0" * 64}}
    path.write_text(json.dumps({**manifest, "digest": manifest_digest(manifest)}))
    with pytest.raises(hpo.ModelTampered, match="which no export writes"):
        hpo.load_model(tmp_path / "model")


def test_what_is_no_exported_model_is_no_tampering(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(hpo.InvalidOption, match="no exported model"):
            hpo.load_model(path)


def test_another_version_of_scikit_learn_is_named(run, tmp_path, monkeypatch):
    run.export(tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hpo.load_model(tmp_path / "model")
    monkeypatch.setattr("hpo.models.folder.version", lambda name: "2.0.1")
    with pytest.warns(UserWarning, match=r"scikit-learn 1\.\d+.* this is 2\.0\.1"):
        hpo.load_model(tmp_path / "model")


# --- written whole ---

KILLED = """
import os, pathlib, signal, sys
import hpo.models.folder as folder
sys.path.insert(0, {tests!r})
calls = 0
def kill(*args, **kwargs):
    global calls
    calls += 1
    if calls == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return kept(*args, **kwargs)
{patch}
folder.write_folder(pathlib.Path({target!r}), {{"model.skops": b"new", "README.md": b"card"}}, {{}})
"""
FSYNC = "kept = os.fsync; os.fsync = kill"
RENAME = "kept = pathlib.Path.rename; pathlib.Path.rename = kill"


def killed(target: Path, patch: str, at: int) -> None:
    code = KILLED.format(tests=str(ROOT / "tests"), at=at, patch=patch, target=str(target))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(("patch", "at"), [(FSYNC, 3), (RENAME, 1)])
def test_a_killed_export_leaves_no_folder_and_the_next_one_makes_it(patch, at, tmp_path):
    target = tmp_path / "model"
    killed(target, patch, at)
    assert not target.exists()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".model.hpo-new-")
    os.utime(left, (0, 0))  # long ago
    write_folder(check_target(target, force=False), {"README.md": b"card"}, {})
    assert {path.name for path in tmp_path.iterdir()} == {"model"}


@pytest.mark.parametrize(("patch", "at"), [(FSYNC, 1), (RENAME, 1), (RENAME, 2)])
def test_a_killed_replacement_keeps_the_former_model(patch, at, tmp_path):
    target = tmp_path / "model"
    write_folder(target, {"README.md": b"former"}, {})
    killed(target, patch, at)
    check_target(target, force=True)  # which puts it back where it was set aside
    assert (target / "README.md").read_bytes() == b"former"


def test_what_is_there_is_replaced_only_on_request_and_only_a_model(run, tmp_path):
    (tmp_path / "empty").mkdir()
    run.export(tmp_path / "empty")
    with pytest.raises(hpo.InvalidOption, match="--force"):
        run.export(tmp_path / "empty")
    before = (tmp_path / "empty" / "manifest.json").stat().st_ino
    run.export(tmp_path / "empty", force=True)
    assert (tmp_path / "empty" / "manifest.json").stat().st_ino != before
    home = tmp_path / "home"
    home.mkdir()
    (home / "letters.txt").write_text("dear")
    with pytest.raises(hpo.InvalidOption, match=r"letters\.txt"):
        run.export(home, force=True)
    assert [path.name for path in home.iterdir()] == ["letters.txt"]
    with pytest.raises(hpo.InvalidOption, match="not a folder"):
        run.export(home / "letters.txt", force=True)
    run.export(tmp_path / "a" / "b" / "model")  # its parents are made
    assert not list(tmp_path.rglob(".*"))


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_trained(run, database, tmp_path, monkeypatch):
    monkeypatch.setattr("hpo.models.folder.os.access", lambda *_: False)
    with pytest.raises(hpo.InvalidOption, match="not a folder that can be written"):
        run.export(tmp_path / "model")
    assert database.test_scores("iris-tree").empty


def test_a_full_disk_leaves_nothing_and_is_said_in_one_line(run, tmp_path, monkeypatch):
    folder = tmp_path / "there"
    folder.mkdir()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hpo.models.folder.os.fsync", full)
    with pytest.raises(hpo.InvalidOption, match="cannot be written: No space left on device"):
        run.export(folder / "model")
    assert not list(folder.iterdir())


def test_nothing_is_opened_for_a_model_that_cannot_be_written(run, database, tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "model"):
        with pytest.raises(hpo.InvalidOption):
            run.export(path)
    with pytest.raises(hpo.InvalidOption, match="allowed are skops, joblib"):
        run.export(tmp_path / "model", format="pickle")
    assert database.test_scores("iris-tree").empty


# --- what skops cannot hold ---


def test_a_model_with_a_function_of_the_script_goes_with_joblib(database, tmp_path):
    double = FunctionTransformer(lambda X: 2 * X)
    definition = tree_study(
        estimator=make_pipeline(double, DecisionTreeClassifier()), space={"decisiontreeclassifier__max_depth": [1, 2]}
    )
    run = hpo.run(definition, trials=1, database=database, progress="none")
    with pytest.raises(hpo.UnstorableModel, match="--format joblib"):
        run.export(tmp_path / "model")
    assert database.test_scores("iris-tree").empty
    assert not (tmp_path / "model").exists()
    exported = run.export(tmp_path / "model", format="joblib")
    with pytest.raises(hpo.UntrustedModel, match="allow_pickle=True"):
        hpo.load_model(tmp_path / "model", digest=exported.digest)
    loaded = hpo.load_model(tmp_path / "model", allow_pickle=True)
    X = load_iris().data
    assert np.array_equal(loaded.predict(X), run.best_estimator().predict(X))
    assert "can run any code" in (tmp_path / "model" / "README.md").read_text()


def test_a_class_of_the_script_is_loaded_where_there_is_no_script(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(SCRIPT)
    assert command(["run", "own.py", "--trials", "2", "--database", "own.db"]) == 0
    capsys.readouterr()
    assert command(["export", "own/tpe/split0-seed0", "model", "--database", "own.db"]) == 2
    err = capsys.readouterr().err
    assert "Nearest is defined in the study's script" in err
    assert len(err.splitlines()) == 1
    argv = ["export", "own.py", "model", "--format", "joblib", "--database", "own.db"]
    assert command(argv) == 0
    out, err = capsys.readouterr()
    assert "own/tpe/split0-seed0" in out
    assert "pickle" in err
    (tmp_path / "own.py").unlink()
    code = (
        "import hpo; from sklearn.datasets import load_iris; m = hpo.load_model('model', allow_pickle=True); "
        "print(m.score(*load_iris(return_X_y=True)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.85


# --- which run, and what is said ---


def test_the_best_run_of_split_0_is_meant_by_a_study(tree, database, tmp_path, capsys):
    for sampler, seed, split in (("random", 0, 0), ("tpe", 1, 0), ("random", 3, 0), ("random", 0, 2)):
        hpo.run(tree, sampler=sampler, seed=seed, split=split, trials=3, database=database, progress="none")
    from hpo.runs.run import best_run

    runs = database.runs()
    own = runs[(runs["split"] == 0) & (runs["sampler"] != "reference")]
    best = best_run(tree, database)
    assert best.best.value == own["best"].max()
    assert best.name.split == 0
    assert best.name.sampler != "reference"
    with pytest.raises(hpo.UnknownRun, match="no run on split 5"):
        best_run(tree, database, 5)


def test_a_changed_study_is_not_exported(run, database, tmp_path):
    changed = tree_study(estimator=DecisionTreeClassifier(max_leaf_nodes=3))
    with pytest.raises(hpo.StudyChanged):
        hpo.Run(str(run.name), database, changed).export(tmp_path / "model")
    with pytest.raises(hpo.UnknownRun, match="without its study definition"):
        hpo.Run(str(run.name), database).export(tmp_path / "model")


def test_the_reference_can_be_exported(tree, run, database, tmp_path):
    reference = hpo.Run("iris-tree/reference/split0-seed0", database, tree)
    exported = reference.export(tmp_path / "model")
    assert exported.value == run.reference.value
    assert hpo.load_model(tmp_path / "model").get_params()["max_depth"] is None


def test_the_card_names_features_classes_and_the_reference(database, tmp_path):
    definition = tree_study("mixed", **CASES["mixed-frame"])
    run = hpo.run(definition, trials=2, database=database, progress="none")
    exported = run.export(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    for expected in (
        "petal width (cm)",
        "colour",
        "setosa",
        "versicolor",
        "3 classes",
        "5 features",
        "## Model parameters",
        f"## Diagnosis\n\nOf training and validation rows, before the test: {hpo.diagnose(run).winner.verdict}",
    ):
        assert expected in card, expected
    assert f"| {run.metric.text(run.best.value)} | {run.metric.text(run.reference.value)} |" in card
    assert run.metric.text(exported.test) in card
    assert "| logisticregression__C |" in card
    assert exported.digest not in card
    bunch = hpo.run(tree_study("bunch"), trials=1, database=database, progress="none")
    bunch.export(tmp_path / "bunch")
    card = (tmp_path / "bunch" / "README.md").read_text()
    assert "0 (setosa)" in card
    assert "sepal length (cm)" in card
    manifest = json.loads((tmp_path / "bunch" / "manifest.json").read_text())
    assert manifest["hashes"] == {
        key.removeprefix("hash_"): value for key, value in bunch.attributes.items() if key.startswith("hash_")
    }
    assert manifest["scores"]["validation"] == bunch.best.value
    assert manifest["diagnosis"] == hpo.diagnose(bunch).sentence


def test_export_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(["run", "breast-cancer-svm", "--sampler", "random", "--trials", "3", "--progress", "none"]) == 0
    capsys.readouterr()
    assert command(["export", "breast-cancer-svm/random/split0-seed0", "svm"]) == 0
    out = capsys.readouterr().out
    assert "sealed test rows" in out
    assert 'digest="' in out
    digest = out.partition('digest="')[2].partition('"')[0]
    assert isinstance(hpo.load_model("svm", digest=digest)[-1], SVC)
    assert command(["export", "breast-cancer-svm", "svm", "--force", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["run"] == "breast-cancer-svm/random/split0-seed0"
    assert said["n_opened"] == 2
    assert said["reading"] in " ".join(out.split())
    assert {"test_error", "reference_test", "reference_test_error"} <= said.keys()
    for argv in (["export", "breast-cancer-svm/random/split0-seed7", "x"], ["export", "nothing", "x"]):
        assert command(argv) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
