"""The studies that ship: each runs, tunes what it says, beats its reference, and shows what it has learned."""

import importlib.util
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import same_trials

import hpo

FOLDER = Path(__file__).resolve().parents[2] / "studies"
has_torch = all(importlib.util.find_spec(name) for name in ("torch", "skorch"))
needs_torch = pytest.mark.skipif(not has_torch, reason="the study needs PyTorch: pip install '.[torch]'")

# study -> (hyperparameters that always exist, those that exist under others, model parameters that must be named)
CONTENTS = {
    "breast-cancer-logistic": (
        {"C", "penalty"}, {"l1_ratio"}, {"coef_", "intercept_"},
    ),
    "breast-cancer-svm": ({"svc__C", "svc__kernel"}, {"svc__gamma", "svc__degree"}, {"support_vectors_"}),
    "diabetes-boosting": (
        {"loss", "learning_rate", "n_estimators", "max_depth", "min_samples_leaf", "subsample", "max_features"},
        {"alpha"}, {"tree_.threshold", "tree_.value"},
    ),
    "diabetes-linear": (
        {"model"}, {"model__alpha", "model__l1_ratio", "model__loss", "model__eta0", "model__max_iter"},
        {"coef_", "intercept_"},
    ),
    "digits-dropout-net": (
        {
            "layers", "neurons", "activation", "dropout", "loss", "optimizer", "learning_rate", "batch_size", "epochs",
            "validation",
        },
        {"momentum"}, {"0.weight", "0.bias"},
    ),
    "digits-kmeans": ({"n_clusters", "init", "n_init", "max_iter"}, set(), {"cluster_centers_"}),
    "digits-mlp": (
        {"depth", "width", "activation", "learning_rate_init", "batch_size", "solver", "max_iter", "early_stopping"},
        {"momentum", "validation_fraction"}, {"coefs_[0]", "intercepts_[0]"},
    ),
    "wine-tree": (
        {"max_depth", "min_samples_leaf", "ccp_alpha", "criterion"}, set(), {"tree_.feature", "tree_.value"},
    ),
}  # fmt: skip
STUDIES = [pytest.param(name, marks=needs_torch if name == "digits-dropout-net" else ()) for name in CONTENTS]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Makes the run of a study, once."""
    with hpo.StudyDatabase(tmp_path_factory.mktemp("studies") / "hpo.db") as database:
        made = {}

        def of(name: str) -> hpo.Run:
            if name not in made:
                made[name] = hpo.run(name, sampler="random", trials=3, database=database, progress="none")
            return made[name]

        yield of


def test_these_are_all():
    assert {path.stem.replace("_", "-") for path in FOLDER.glob("*.py")} == set(CONTENTS)


@pytest.mark.parametrize("name", CONTENTS)
def test_it_tunes_what_the_mission_names(name):
    always, sometimes, _ = CONTENTS[name]
    space = hpo.find_study(name).space
    assert set(space.names) == always | sometimes
    assert set(space.conditional_names()) == sometimes


@pytest.mark.parametrize("name", STUDIES)
def test_it_runs_and_names_what_it_learned(runs, name):
    run = runs(name)
    trials = run.trials
    assert (trials["state"] == "COMPLETE").sum() >= len(trials) - 1  # a learning rate may explode
    assert run.reference.state == "COMPLETE"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few epochs may not converge
        learned = run.model_parameters()
    assert CONTENTS[name][2] <= set(learned["name"])
    assert learned["count"].sum() > 0
    assert trials["n_model_parameters"].dropna().gt(0).all()


@pytest.mark.parametrize("name", ["wine-tree", "diabetes-linear", "breast-cancer-logistic"])
def test_a_few_random_trials_beat_the_reference_or_come_near(runs, name):
    run = runs(name)
    better = hpo.run(name, sampler="random", trials=25, database=run.database, progress="none")
    slack = hpo.find_study(name).margin or 0.0  # least squares can hardly be beaten
    assert better.best.value > run.reference.value - slack


def test_the_weights_of_the_linear_models_go_by_name(runs):
    estimator = runs("diabetes-linear").best_estimator()
    text = hpo.equation(estimator)
    assert text.startswith("y = ")
    assert " bmi " in text
    assert "log odds of 1 = " in hpo.equation(runs("breast-cancer-logistic").best_estimator())
    learned = hpo.model_parameters(estimator).set_index("name")
    assert list(learned.loc["coef_", "features"]) == ["age", "sex", "bmi", "bp", *(f"s{i}" for i in range(1, 7))]


def test_support_vectors_are_counted_by_class(runs):
    run = runs("breast-cancer-svm")
    machine = run.best_estimator()[-1]
    learned = hpo.model_parameters(machine).set_index("name")
    n_0, n_1 = machine.n_support_
    assert learned.loc["support_vectors_", "meaning"].endswith(f": {n_0} of 0, {n_1} of 1")


def test_the_full_grown_tree_learns_wrong_labels_by_heart(runs):
    run = runs("wine-tree")
    reference, best = run.reference, run.best
    assert reference.train_score > -0.01
    assert best.value - reference.value > 0.05
    assert best.train_score - best.value < reference.train_score - reference.value


@needs_torch
def test_the_network_is_the_same_for_any_number_of_workers(runs, tmp_path):
    one = runs("digits-dropout-net").trials
    with hpo.StudyDatabase(tmp_path / "two.db") as database:
        two = hpo.run(
            "digits-dropout-net", sampler="random", trials=3, database=database, workers=2, progress="none"
        ).trials  # fmt: skip
    sizes = [trials.pop("model_size_mb").to_numpy() for trials in (two, one)]
    np.testing.assert_allclose(*sizes, atol=1e-4)  # some bytes of torch's pickles depend on the process
    assert same_trials(two) == same_trials(one)


@needs_torch
def test_dropout_closes_the_gap():
    study = hpo.find_study("digits-dropout-net")
    from hpo.evaluation.evaluate import Problem, evaluate

    problem, gaps = Problem(study), []
    for dropout in (0.0, 0.6):
        found = evaluate(
            problem, study.space.use({**study.reference, "neurons": 256, "epochs": 25, "dropout": dropout})
        )
        gaps.append(found.train_score - found.value)
    assert gaps[1] < gaps[0]


def test_without_torch_it_says_what_to_install(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "studies")
    code = (
        "import sys\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "import hpo.cli.main\n"
        "sys.exit(hpo.cli.main.command(sys.argv[1:]))\n"
    )

    def hpo_without_torch(*arguments):
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )  # fmt: skip

    refused = hpo_without_torch("run", "digits-dropout-net", "--trials", "2")
    assert refused.returncode == 2
    assert "pip install 'hpo-studies[torch]'" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "hpo.db").exists()
    listed = hpo_without_torch("studies")
    assert listed.returncode == 0
    assert "digits-dropout-net" in listed.stdout
