"""Validation curves, training curves and importance: known answers, and what hpo show makes of them."""

import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import tree_study
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_classification
from sklearn.ensemble import AdaBoostClassifier, GradientBoostingRegressor, HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.metrics import hinge_loss, log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo import Categorical, CrossValidation, Float, Holdout, Int, InvalidOption, RunFailed, StudyDefinition
from hpo.analysis.training_curves import findings
from hpo.analysis.validation_curves import levels_of
from hpo.cli.main import command
from hpo.evaluation.evaluate import Problem, evaluate
from hpo.figures.line_chart import Chart, Line

FOLDS = CrossValidation(folds=3, test=0.2)
SPLIT = Holdout(0.25, 0.2)


def ran(study, database, trials=None, sampler="random"):
    return hpo.run(study, sampler=sampler, trials=trials, database=database, progress="none")


def one(estimator, database, data=load_breast_cancer, metric="accuracy", split=SPLIT, name="one"):
    """A run whose only trial is this estimator as it is."""
    study = StudyDefinition(name, data, lambda params: estimator, {"x": [0]}, metric, split=split, reference={"x": 0})
    return ran(study, database, sampler="grid")


# --- validation curves ---


def test_a_curve_is_what_the_levels_score(database):
    study = tree_study(split=FOLDS, space={"max_depth": Int(1, 6), "min_samples_leaf": Int(1, 40, log=True)})
    run = ran(study, database, 5)
    curve = hpo.validation_curve(run, "max_depth")
    assert curve.frame["value"].tolist() == [1, 2, 3, 4, 5, 6]
    problem = Problem(study)
    for row in curve.frame.itertuples():
        result = evaluate(problem, {**run.best.configuration, "max_depth": row.value})
        assert row.validation == result.value
        assert row.train == pytest.approx(result.train_score)
        assert row.validation_spread == pytest.approx(np.std(result.fold_scores, ddof=1))
        assert row.train_spread == pytest.approx(np.std(result.train_fold_scores, ddof=1))
    own = curve.frame.loc[curve.frame["value"] == run.best.configuration["max_depth"], "validation"]
    assert own.tolist() == [run.best.value]
    assert len(run.trials) == 5  # nothing is stored
    assert curve.chart.mark == (run.best.configuration["max_depth"], f"trial {run.best.number}")


def test_the_levels_of_a_curve(database):
    study = tree_study(
        split=FOLDS,
        space={
            "ccp_alpha": Float(1e-4, 1e-1, log=True), "max_depth": Int(1, 100),
            "min_samples_leaf": Int(1, 9, grid=[2, 4]),
            "max_features": stats.beta(2, 2), "criterion": ["gini", "entropy"],
        },
    )  # fmt: skip
    run = ran(study, database, 1)
    best, space = run.best, study.space
    alphas = levels_of(space, "ccp_alpha", best)
    assert len(alphas) == 10
    assert best.configuration["ccp_alpha"] in alphas
    assert (alphas[0], alphas[-1]) == (1e-4, 1e-1)
    others = [alpha for alpha in alphas if alpha != best.configuration["ccp_alpha"]]
    assert np.diff(np.log(others)) == pytest.approx(math.log(1e3) / 8)
    assert set(levels_of(space, "min_samples_leaf", best)) == {2, 4, best.configuration["min_samples_leaf"]}
    assert levels_of(space, "criterion", best) == ["entropy", "gini"]
    assert len(levels_of(space, "max_depth", best)) in (9, 10)
    quantiles = hpo.validation_curve(run, "max_features")
    assert quantiles.frame["value"].between(0, 1).all()
    assert quantiles.value == pytest.approx(best.params["max_features"])
    assert quantiles.value in quantiles.frame["value"].tolist()
    choices = hpo.validation_curve(run, "criterion")
    assert not choices.is_numeric
    assert choices.chart.ticks == {0: "entropy", 1: "gini"}


def test_what_a_choice_brings_is_filled_in_and_what_it_ends_is_left_out(database):
    space = {
        "kernel": Categorical(["linear", "rbf", "poly"]),
        "gamma": Float(1e-3, 1, log=True, when={"kernel": ["rbf"]}),
        "degree": Int(2, 4, when={"kernel": "poly"}),
    }
    start = [{"kernel": "rbf", "gamma": 0.5}, {"kernel": "poly", "degree": 4}]
    study = StudyDefinition("svm", load_iris, SVC(), space, "accuracy", split=FOLDS, start=start)
    run = ran(study, database, 2)
    rbf, poly = run.trial(0), run.trial(1)
    curve = hpo.validation_curve(run, "kernel", rbf)
    assert curve.frame["value"].tolist() == ["linear", "poly", "rbf"]
    by_kernel = curve.frame.set_index("value")["validation"]
    assert (by_kernel["rbf"], by_kernel["poly"]) == (rbf.value, poly.value)
    assert curve.notes == ("kernel poly needs degree: 4, of the best trial with it",)
    backward = hpo.validation_curve(ran(study, database, 2), "kernel", poly)
    assert backward.notes == ("kernel rbf needs gamma: 0.5, of the best trial with it",)
    alone = ran(
        StudyDefinition("alone", load_iris, SVC(), space, "accuracy", split=FOLDS, start=start[:1]), database, 1
    )
    assert hpo.validation_curve(alone, "kernel").notes == ("kernel poly needs degree: 3, the middle of its range",)
    with pytest.raises(
        InvalidOption, match="degree is not varied in trial 0, which has kernel rbf: it exists only when"
    ):
        hpo.validation_curve(run, "degree", rbf)
    with pytest.raises(InvalidOption, match="no hyperparameter 'depth'; the space has degree, gamma, kernel"):
        hpo.validation_curve(run, "depth")


def test_a_level_that_fails_is_a_gap_in_the_curve(database):
    study = StudyDefinition(
        "gap", load_iris, SVC(), {"gamma": Float(0.1, 1, grid=[0.1, 1]), "C": [1.0, -1.0]}, "accuracy", split=SPLIT,
        start=[{"gamma": 0.1, "C": 1.0}],
    )  # fmt: skip
    curve = hpo.validation_curve(ran(study, database, 1), "C")
    assert curve.frame["validation"].isna().tolist() == [True, False]
    assert "InvalidParameterError" in curve.frame["error"][0]
    assert len(curve.chart.figure().panels[0].marks) >= 2
    assert "best on validation rows at 1" in curve.sentences[0]


# --- training curves ---


def fold_of(run):
    problem = run.problem()
    (X, y, _), (X_validation, y_validation, _) = map(problem.rows, problem.partition.folds[0])
    return problem, X, y, X_validation, y_validation


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_the_last_epoch_of_a_network_is_its_fit(solver, database):
    network = make_pipeline(
        StandardScaler(), MLPClassifier((8,), solver=solver, max_iter=12, learning_rate_init=0.01, tol=0)
    )
    run = one(network, database)
    curve = hpo.training_curve(run)
    problem, X, y, X_validation, y_validation = fold_of(run)
    with pytest.warns(ConvergenceWarning):
        fitted = problem.estimator(problem.used(None)).fit(X, y)
    assert curve.frame["epoch"].tolist() == [*range(1, 13)]
    assert curve.loss == "log loss"
    assert curve.frame["train"].iloc[-1] == pytest.approx(log_loss(y, fitted.predict_proba(X)))
    assert curve.frame["validation"].iloc[-1] == pytest.approx(
        log_loss(y_validation, fitted.predict_proba(X_validation))
    )
    shares = np.bincount(y) / len(y)
    assert curve.start == pytest.approx(log_loss(y, np.tile(shares, (len(y), 1))))


def test_the_stages_of_boosting_end_with_its_fit(database):
    run = one(GradientBoostingRegressor(n_estimators=15), database, load_diabetes, "r2", FOLDS, "boosting")
    curve = hpo.training_curve(run)
    problem, X, y, X_validation, y_validation = fold_of(run)
    fitted = problem.estimator({}).fit(X, y)
    assert (len(curve.frame), curve.unit, curve.loss) == (15, "stage", "squared error")
    assert curve.frame["train"].iloc[-1] == pytest.approx(np.mean((fitted.predict(X) - y) ** 2))
    assert curve.frame["validation"].iloc[-1] == pytest.approx(
        np.mean((fitted.predict(X_validation) - y_validation) ** 2)
    )
    assert curve.start == pytest.approx(np.var(y))
    assert "fold 1 of 3" in curve.sentences[0]


@pytest.mark.parametrize(
    ("estimator", "loss"),
    [
        (make_pipeline(StandardScaler(), SGDClassifier(max_iter=20, tol=None)), "hinge loss"),
        (make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", early_stopping=True)), "log loss"),
        (make_pipeline(StandardScaler(), MLPClassifier((5,), early_stopping=True, max_iter=15)), "log loss"),
        (HistGradientBoostingClassifier(max_iter=10), "log loss"),
        (AdaBoostClassifier(n_estimators=8), "log loss"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(getattr(value, "_final_estimator", value)).__name__,
)
def test_what_trains_in_epochs_shows_them(estimator, loss, database, recwarn):
    curve = hpo.training_curve(one(estimator, database))
    assert curve.loss == loss
    assert len(curve.frame) > 1
    assert np.isfinite(curve.frame[["train", "validation"]]).all(axis=None)
    assert curve.frame["train"].iloc[-1] < curve.start
    assert not [warning for warning in recwarn if "Convergence" in warning.category.__name__]


def test_hinge_losses_are_scikit_learns(database):
    X, y = make_classification(200, n_informative=4, n_classes=3, random_state=0)
    run = one(SGDClassifier(max_iter=3, tol=None, shuffle=False), database, lambda: (X, y))
    curve = hpo.training_curve(run)
    problem, X, y, *_ = fold_of(run)
    fitted = problem.estimator({}).fit(X, y)
    assert curve.frame["train"].iloc[-1] == pytest.approx(hinge_loss(y, fitted.decision_function(X)))


class Net(ClassifierMixin, BaseEstimator):
    """As a skorch net shows itself."""

    criterion = type("CrossEntropyLoss", (), {})

    def __init__(self, max_epochs=3, has_validation=True):
        self.max_epochs, self.has_validation = max_epochs, has_validation

    def initialize(self):
        return self

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.history = [{"train_loss": 1 / (1 + e)} for e in range(self.max_epochs)]
        if self.has_validation:
            self.history = [{**row, "valid_loss": 2.0} for row in self.history]
        return self

    def predict(self, X):
        return np.resize(self.classes_, len(X))


def test_a_net_shows_its_own_history(database):
    curve = hpo.training_curve(one(Net(), database))
    assert curve.frame["train"].tolist() == [1, 1 / 2, 1 / 3]
    assert curve.frame["validation"].tolist() == [2.0] * 3
    assert curve.loss == "loss (CrossEntropyLoss)"
    assert "the net's own validation share" in curve.rows
    without = hpo.training_curve(one(Net(has_validation=False), database, name="without"))
    assert without.frame["validation"].isna().all()
    assert "training rows alone" in without.rows
    assert without.chart.figure().panels[0].marks


@pytest.mark.parametrize(
    "estimator", [SVC(), DecisionTreeClassifier(), GaussianNB(), MLPClassifier((3,), solver="lbfgs", max_iter=500)]
)
def test_what_does_not_train_in_epochs_is_refused(estimator, database):
    with pytest.raises(InvalidOption, match=f"^{type(estimator).__name__} does not train in epochs: "):
        hpo.training_curve(one(make_pipeline(StandardScaler(), estimator), database))


def test_training_that_fails_is_one_line(database, monkeypatch):
    def moody(self, X, y):
        raise ValueError("no\nway")

    run = one(MLPClassifier((3,), max_iter=5), database)
    monkeypatch.setattr(MLPClassifier, "fit", moody)
    with pytest.raises(
        RunFailed, match=r"trial 0 of one/grid/split0-seed0 cannot be trained again: ValueError: no way$"
    ):
        hpo.training_curve(run)


def test_a_perceptron_is_seen_with_its_early_stopping(database):
    options = {"max_iter": 200, "n_iter_no_change": 3, "early_stopping": True, "learning_rate_init": 0.05}
    run = one(MLPClassifier((6,), **options), database, load_iris)
    curve = hpo.training_curve(run)
    problem, X, y, X_validation, y_validation = fold_of(run)
    fitted = problem.estimator(problem.used(None)).fit(X, y)
    assert len(curve.frame) == fitted.n_iter_ < 200
    loss = log_loss(y_validation, fitted.predict_proba(X_validation))  # of the epoch that its own share liked best
    assert np.isclose(curve.frame["validation"], loss, rtol=1e-12).any()


def said(rate, database, **options):
    name = f"rate{rate}".replace("/", "")
    network = make_pipeline(StandardScaler(), MLPClassifier((16,), learning_rate_init=rate, **options))
    return hpo.training_curve(one(network, database, load_iris, name=name)).findings[0]


def test_the_learning_rate_is_seen_to_overshoot_to_crawl_or_to_fit(database):
    plain = {"max_iter": 40, "tol": 0, "n_iter_no_change": 40, "batch_size": 10}
    assert "too high" in said(10.0, database, **plain)
    assert "too low" in said(1e-5, database, **plain)
    assert "levels off" in said(0.01, database, **plain)


class Exploding(SGDRegressor):
    """Survives its fit, as with averaged weights, and does not survive its epochs."""

    def fit(self, X, y):
        self.n_iter_ = 9
        self.coef_, self.intercept_ = np.zeros(X.shape[1]), np.zeros(1)
        return self


def test_numbers_that_become_too_large_are_shown_until_there(database):
    run = one(Exploding(eta0=1e160, learning_rate="constant"), database, load_diabetes, "r2")
    assert "diverges" in hpo.training_curve(run).findings[0]
    run = one(Exploding(eta0=0.5, learning_rate="constant"), database, load_diabetes, "r2", name="later")
    steps = hpo.training_curve(run)
    assert len(steps.frame) == 9

    class Later(Exploding):
        n_left = 4

        def partial_fit(self, X, y):
            self.n_left -= 1
            if self.n_left == 0:
                raise ValueError("overflow")
            return super().partial_fit(X, y)

    curve = hpo.training_curve(one(Later(), database, load_diabetes, "r2", name="last"))
    assert np.isinf(curve.frame["train"]).tolist() == [False, False, False, True]
    assert "diverges" in curve.findings[0]
    assert curve.chart.figure().panels[0].marks


def test_findings_on_curves_that_are_known():
    epochs = np.arange(1, 41)
    falling = np.exp(-epochs / 5)
    nothing = [math.nan] * 40
    assert "levels off" in findings(falling, nothing, start=1.0)[0]
    assert "too low" in findings(1 - 0.01 * epochs, nothing, start=1.0)[0]
    assert "overshoots" in findings(0.5 + 0.3 * (-1.0) ** epochs, nothing, start=1.0)[0]
    assert "diverges" in findings(epochs * 1.0, nothing)[0]
    assert "diverges" in findings([1.0, 0.5, math.inf], nothing, start=2.0)[0]
    crawling = 1.3 - 0.001 * epochs  # random weights, worse than a dummy to the end
    assert "too low" in findings(crawling, nothing, start=1.0)[0]
    assert "cannot show" in findings([1.0, 0.5, 0.4], [1.0] * 3)[0]
    overfits = findings(falling, 0.5 + (epochs - 10) ** 2 / 100, start=1.0)
    assert overfits[1] == "the validation loss is lowest after epoch 10 of 40: what follows overfits"
    assert len(findings(falling, falling, start=1.0)) == 1
    for scale in (1e-6, 1e6):
        assert "levels off" in findings(scale * falling, nothing, start=scale)[0]
        assert "overshoots" in findings(scale * (0.5 + 0.3 * (-1.0) ** epochs), nothing, start=scale)[0]


# --- importance ---


class Known(BaseEstimator):
    """Scores what its hyperparameters say, and takes no time."""

    def __init__(self, a=0.0, b=1.0, c="x", d=0.0):
        self.a, self.b, self.c, self.d = a, b, c, d

    def fit(self, X, y=None):
        return self


def known_score(estimator, X, y):
    return 10 * estimator.a + math.log10(estimator.b) + 0.1 * (estimator.c == "x")


def test_importance_finds_what_decides_and_is_the_same_again(database):
    space = {"a": Float(0, 1), "b": Float(1e-2, 1e2, log=True), "c": ["x", "y"], "d": Float(0, 1, when={"c": "x"})}
    study = StudyDefinition("known", load_iris, Known(), space, known_score, split=SPLIT)
    run = ran(study, database, 60)
    found = hpo.importances(run)
    shares = found.frame.set_index("hyperparameter")["metric"]
    assert found.frame["hyperparameter"].tolist()[:2] == ["a", "b"]
    assert shares.sum() == pytest.approx(1)
    variance = {"a": 100 / 12, "b": 16 / 12}
    assert shares["a"] == pytest.approx(variance["a"] / sum(variance.values()), abs=0.06)
    assert shares["d"] < 0.05
    pd.testing.assert_frame_equal(hpo.importances(run).frame, found.frame)
    assert "rough" not in found.note
    few = hpo.importances(ran(study, ":memory:", 9))
    assert few.frame.empty
    assert "too few to tell, 10 are needed" in few.note
    assert "rough below 30" in hpo.importances(ran(study, ":memory:", 12)).note


def test_what_never_varies_has_no_importance(database):
    study = StudyDefinition("flat", load_iris, Known(), {"a": Float(0, 1)}, lambda e, X, y: 1.0, split=SPLIT)
    assert hpo.importances(ran(study, database, 12)).frame["metric"].isna().all()


# --- pictures ---


def test_a_picture_marks_each_line_with_a_letter_of_its_own():
    chart = Chart(
        "t", "c", "x", "y", [Line("validation", [1, 2, 3], [1.0, 2, 3]), Line("value", [1, 2, 3], [3.0, 2.5, 2])]
    )
    drawn = chart.picture(width=60, color=False)
    assert drawn.splitlines()[-1] == "v validation   a value"
    assert "v" in "".join(drawn.splitlines()[:-1])
    assert "a" in "".join(drawn.splitlines()[:-1])
    empty = Chart("t", "c", "x", "y", [Line("a", [1.0], [math.nan])])
    assert empty.picture(width=60, color=False) == "nothing to draw"
    single = Chart("t", "c", "x", "y", [Line("a", [1.0], [2.0])], is_log=True)
    assert "a" in single.picture(width=60, color=True)


# --- hpo show ---

SCRIPT = '''
"""A quick study."""
import hpo
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier
study = hpo.StudyDefinition(
    name="quick", data=load_iris, estimator=ESTIMATOR, metric="neg_log_loss", split=hpo.CrossValidation(folds=3),
    space={"max_depth": hpo.Int(1, 6), "criterion": ["gini", "entropy"],
           "max_features": hpo.Float(0.2, 1, when={"criterion": "gini"})},
)
'''
RUN = "quick/random/split0-seed0"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study and a run of it, made once."""
    path = tmp_path_factory.mktemp("made")
    (path / "quick.py").write_text(SCRIPT.replace("ESTIMATOR", "DecisionTreeClassifier(min_samples_leaf=5)"))
    hpo.run(path / "quick.py", sampler="random", trials=12, database=path / "hpo.db", progress="none").database.close()
    return path


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_DATABASE", raising=False)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def shown(capsys, *argv, code=0):
    capsys.readouterr()
    found = command(["show", *argv])
    out, err = capsys.readouterr()
    assert found == code, (out, err)
    return out if code == 0 else err


def test_show_ends_with_importance_and_diagnosis(folder, capsys):
    out = shown(capsys, RUN)
    assert "importance for the score" in out
    assert "importance by total Sobol' effects on 12 complete trials: rough below 30" in out
    lines = [line for line in out.splitlines() if line.startswith("diagnosis")]
    assert lines[0].startswith("diagnosis of trial ")
    assert "from a dummy" in lines[0]
    assert lines[1].startswith("diagnosis of the run: of 12 complete trials, ")
    alone = shown(capsys, RUN, "--no-refit")
    assert "diagnosis" not in alone
    assert "importance for the score" in alone
    (folder / "quick.py").rename(folder / "other.py")
    assert "diagnosis" not in shown(capsys, RUN)
    assert "diagnosis" in shown(capsys, RUN, "--study", "other.py")


def test_show_a_validation_curve(folder, capsys):
    out = shown(capsys, RUN, "--curve", "max_depth", "--figure", "depth.html")
    assert "v validation rows   t training rows" in out
    assert "max_depth: best on validation rows at " in out
    assert "the gap between training and validation rows goes from " in out
    assert "-0." not in "".join(line for line in out.splitlines() if "│" not in line)
    page = (folder / "depth.html").read_text()
    assert "Validation curve of max_depth" in page
    assert "default-src 'none'" in page  # opens offline
    rows = json.loads(shown(capsys, RUN, "--curve", "criterion", "--json"))
    assert [row["value"] for row in rows["rows"]] == ["entropy", "gini"]
    assert shown(capsys, RUN, "--curve", "max_depth", "--output", "depth.csv").startswith("wrote 6 rows")
    assert len(pd.read_csv("depth.csv")) == 6
    with hpo.StudyDatabase("hpo.db") as database:
        trials = database.trials(RUN)
    without = int(trials.loc[trials["params_criterion"] == "entropy", "number"].iloc[0])
    assert "exists only when criterion is gini" in shown(
        capsys, RUN, "--trial", str(without), "--curve", "max_features", code=2
    )
    assert len(trials) == 12


def test_show_training(folder, capsys):
    assert "DecisionTreeClassifier does not train in epochs" in shown(capsys, RUN, "--training", code=2)
    text = SCRIPT.replace("ESTIMATOR", "MLPClassifier(max_iter=30)").replace('"quick"', '"net"')
    before, _, _ = text.partition("    space=")
    (folder / "net.py").write_text(before + '    space={"learning_rate_init": hpo.Float(1e-3, 1e-1, log=True)},\n)\n')
    assert command(["run", "net.py", "--sampler", "random", "--trials", "2"]) == 0
    out = shown(capsys, "net/random/split0-seed0", "--training", "--figure", "net.html")
    assert "on fold 1 of 3" in out
    assert "training loss" in out
    assert "Training of trial" in (folder / "net.html").read_text()
    one_trial = json.loads(shown(capsys, "net/random/split0-seed0", "--training", "--trial", "1", "--json"))
    assert {*one_trial["rows"][0]} == {"epoch", "train", "validation"}
    assert "log loss of trial 1" in one_trial["sentences"][0]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--curve", "max_depth", "--training"), "--curve and --training are two questions"),
        (("--figure", "x.png"), "--figure draws what --curve, --training, --cost or --surrogate shows"),
        (("--curve", "max_depth", "--figure", "x.gif"), "allowed are .html, .png, .svg, .pdf"),
        (("--curve", "max_depth", "--figure", "nowhere/x.html"), "its folder does not exist"),
        (("--curve", "depth"), "no hyperparameter 'depth'"),
        (("--margin", "0.1"), "--margin belongs to --select fastest"),
    ],
)
def test_what_cannot_be_asked_is_one_line(folder, capsys, options, why):
    err = shown(capsys, RUN, *options, code=2)
    assert why in err
    assert len(err.strip().splitlines()) == 1


def test_a_figure_as_a_picture(folder, capsys):
    shown(capsys, RUN, "--curve", "max_depth", "--figure", "depth.svg")
    assert "Validation curve of max_depth" in (folder / "depth.svg").read_text(encoding="utf-8")
