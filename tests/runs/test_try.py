"""One configuration by hand: understood, refused in one line, recorded like any other trial, and placed."""

import json

import numpy as np
import pytest
from conftest import CONDITIONAL, opened_by_optuna, same_trials, tree_study
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo import Categorical, Float, Int, SearchSpace
from hpo.cli.main import command
from hpo.errors import InvalidOption, RunInUse
from hpo.evaluation.evaluate import Problem, evaluate
from hpo.runs.manual import choose, parse_assignments

MANUAL = "iris-tree/manual/split0-seed0"


def svm_study(**changes):
    given = {
        "estimator": SVC(),
        "space": {
            "kernel": Categorical(["linear", "rbf", "poly"]),
            "C": Float(0.01, 100, log=True),
            "gamma": Float(1e-4, 1, log=True, when={"kernel": ["rbf", "poly"]}),
            "degree": Int(2, 4, when={"kernel": "poly"}),
        },
        "metric": "accuracy",
        **changes,
    }
    return tree_study("svm", **given)


# --- what is meant ---


def test_what_is_left_out_is_as_in_the_reference():
    choice = choose(svm_study(), {"C": "10"})
    assert choice.configuration == {"kernel": "rbf", "C": 10.0}
    assert choice.kept == {"gamma": "scale"}  # which no number says
    choice = choose(svm_study(reference={"kernel": "poly", "degree": 2}), {"gamma": 0.5})
    assert choice.configuration == {"kernel": "poly", "C": 1.0, "gamma": 0.5, "degree": 2}
    assert choose(tree_study(), {}).configuration["criterion"] == "gini"


def test_what_the_reference_cannot_say_must_be_named():
    def build(params):
        return DecisionTreeClassifier(**params)

    space = {"splitter": ["best", "random"], "max_features": Float(0.2, 1, when={"splitter": "random"})}
    study = tree_study(estimator=build, space=space, reference={"splitter": "best"})
    with pytest.raises(InvalidOption, match=r"name max_features \(0\.2 to 1\)"):
        choose(study, {"splitter": "random"})
    assert choose(study, {"splitter": "random", "max_features": 0.5}).configuration == {
        "splitter": "random",
        "max_features": 0.5,
    }
    # None is the reference's, and neither a number nor the estimator's own default
    odd = tree_study(
        estimator=DecisionTreeClassifier(max_depth=3), space={"max_depth": Int(1, 8), "ccp_alpha": Float(0, 1)},
        reference={"max_depth": None},
    )  # fmt: skip
    with pytest.raises(InvalidOption, match="name max_depth"):
        choose(odd, {"ccp_alpha": 0.1})


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"c": 1}, "no hyperparameter 'c'"),
        ({"gama": 1}, "did you mean gamma"),
        ({"degree": 3}, "degree exists only when kernel is poly"),
        ({"kernel": "linear", "gamma": 0.1}, "gamma exists only when kernel is rbf or poly"),
        ({"kernel": "sigmoid"}, "kernel=sigmoid: it takes one of linear, poly, rbf"),
        ({"C": "much"}, "C=much: it takes numbers; the space has 0.01 to 100"),
        ({"C": True}, "C=True"),
        ({"C": "nan"}, "C=nan"),
        ({"C": "inf"}, "C=inf"),
        ({"kernel": "poly", "degree": "2.5"}, "degree=2.5: it takes whole numbers; the space has 2 to 4"),
    ],
)
def test_what_cannot_be_is_refused_by_name(params, said):
    with pytest.raises(InvalidOption, match=said.replace("(", r"\(")) as refused:
        choose(svm_study(), params)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["C", "=3", "C=", ""])
def test_an_assignment_has_a_name_and_a_value(text):
    with pytest.raises(InvalidOption, match="write name=value"):
        parse_assignments([text])
    with pytest.raises(InvalidOption, match="given twice, as 1 and 2"):
        parse_assignments(["C=1", "C=2"])
    assert parse_assignments(["a=b=c", " d = e "]) == {"a": "b=c", "d": "e"}


@given(st.data())
def test_the_text_of_every_configuration_of_the_space_means_it(data):
    space = SearchSpace(CONDITIONAL)
    configuration = space.suggest(_Drawn(data))
    study = tree_study()
    choice = choose(study, {name: str(value) for name, value in configuration.items()})
    assert choice.configuration == configuration
    assert not choice.outside
    assert not choice.kept
    assert choose(study, configuration) == choice


class _Drawn:
    """Suggests what hypothesis draws."""

    def __init__(self, data):
        self.data = data

    def suggest_float(self, name, low, high, *, step=None, log=False):
        return self.data.draw(st.floats(low, high))

    def suggest_int(self, name, low, high, *, step=1, log=False):
        return self.data.draw(st.integers(low, high))

    def suggest_categorical(self, name, choices):
        return self.data.draw(st.sampled_from(choices))


def test_choices_are_told_apart_by_their_type():
    space = {
        "max_features": Categorical(["sqrt", None, 0.5, 2]),
        "splitter": Categorical({"None": "best", "1": "random"}),
    }
    study = tree_study(space=space)
    for text, value in {"none": None, "NULL": None, "0.5": 0.5, "2": 2, "sqrt": "sqrt", "'sqrt'": "sqrt"}.items():
        found = choose(study, {"max_features": text, "splitter": "None"}).configuration
        assert found["max_features"] == value
        assert type(found["max_features"]) is type(value)
        assert found["splitter"] == "None"  # a label
    with pytest.raises(InvalidOption, match="max_features=true"):
        choose(study, {"max_features": "true"})


def test_a_scipy_distribution_is_given_its_value_not_its_quantile():
    study = tree_study(
        estimator=LogisticRegression(), space={"C": stats.expon(scale=10), "max_iter": stats.poisson(50)}
    )
    choice = choose(study, {"C": "3.5", "max_iter": 60})
    assert study.space.use(choice.configuration) == {"C": pytest.approx(3.5), "max_iter": 60}
    with pytest.raises(InvalidOption, match=r"C=-1"):
        choose(study, {"C": -1})


# --- what is recorded ---


def test_tries_are_the_trials_of_one_run_that_optuna_reads(tree, database):
    first = hpo.try_configuration(tree, {"max_depth": 2}, database=database)
    second = hpo.try_configuration(
        tree, {"max_depth": "20", "splitter": "random", "max_features": 2.5}, database=database
    )
    assert str(first.run.name) == MANUAL
    assert (first.trial.number, second.trial.number) == (0, 1)
    assert first.previous is None
    assert second.previous == first.trial
    assert second.changed == {"max_depth": (2, 20), "splitter": ("best", "random"), "max_features": (None, 2.5)}
    assert set(second.outside) == {"max_depth", "max_features"}
    assert second.trial.state == "FAIL"  # of 2.5 of the features
    with opened_by_optuna(MANUAL, database.url) as study:
        trials = study.get_trials()
        assert [trial.params["max_depth"] for trial in trials] == [2, 20]
        for trial in trials:
            trial._validate()
            for name, value in trial.params.items():
                assert trial.distributions[name]._contains(trial.distributions[name].to_internal_repr(value))
        assert study.best_trial.number == 0
    frame = database.trials(MANUAL)
    assert frame["params_max_depth"].tolist() == [2, 20]
    assert database.runs().set_index("run").loc[MANUAL, "state"] == "done"


def test_the_score_is_that_of_the_configuration(tree, database):
    tried = hpo.try_configuration(tree, {"max_depth": 3, "criterion": "entropy"}, split=2, database=database)
    by_hand = evaluate(Problem(tree, 2), tree.space.use(tried.trial.configuration))
    assert tried.trial.value == by_hand.value
    assert tried.gap == pytest.approx(by_hand.train_score - by_hand.value)
    assert str(tried.run.name) == "iris-tree/manual/split2-seed0"
    assert tried.reference == hpo.Run("iris-tree/reference/split2-seed0", database).trial(0)
    assert tried.trial.n_model_parameters == by_hand.n_model_parameters


def test_a_value_beyond_the_space_is_what_the_estimator_gets(database):
    space = {
        "ccp_alpha": Float(0, 0.1, step=0.02),
        "max_depth": Int(2, 8, step=2),
        "min_samples_leaf": Int(1, 9, log=True),
    }
    study = tree_study(space=space)
    params = {"ccp_alpha": 0.013, "max_depth": 7, "min_samples_leaf": 30}
    tried = hpo.try_configuration(study, params, database=database)
    assert tried.trial.params == params
    assert set(tried.outside) == set(params)
    assert tried.trial.value == evaluate(Problem(study), params).value
    fitted = tried.run.best_estimator().get_params()
    assert {name: fitted[name] for name in params} == params
    at_low = hpo.try_configuration(study, {"ccp_alpha": -0.5}, database=database)
    assert at_low.trial.state == "FAIL"
    assert "ccp_alpha" in at_low.trial.attributes["error"]


def test_a_configuration_that_is_known_is_not_trained_again(tree, database):
    run = hpo.run(tree, sampler="random", trials=5, database=database, progress="none")
    tried = hpo.try_configuration(tree, run.trial(3).configuration, database=database)
    assert tried.taken_over_from == f"{run.name}#3"
    assert tried.trial.value == run.trial(3).value
    own = hpo.try_configuration(tree, {"max_depth": 5}, database=database)
    assert own.taken_over_from is None
    assert hpo.try_configuration(tree, {"max_depth": 5}, database=database).taken_over_from == f"{MANUAL}#1"
    again = hpo.try_configuration(tree, {}, database=database)
    assert again.kept == {"max_depth": None, "ccp_alpha": 0.0, "min_impurity_decrease": 0.0}
    assert again.trial.value == again.reference.value


def test_tries_change_no_other_run(tree, database, tmp_path):
    with hpo.StudyDatabase(tmp_path / "other.db") as other:
        for i in range(3):
            hpo.try_configuration(tree, {"max_depth": 2 + i}, database=database)
        runs = [hpo.run(tree, trials=12, database=where, progress="none") for where in (database, other)]
        for run in runs:
            assert same_trials(run.trials) == same_trials(runs[0].trials)
        plan = {"samplers": ["random", "tpe"], "repetitions": 1, "trials": 4, "workers": 1, "progress": "none"}
        tables = [hpo.compare(tree, database=where, open_test=False, **plan).table for where in (database, other)]
        assert tables[0]["median"].tolist() == tables[1]["median"].tolist()


def test_the_rank_is_among_distinct_configurations_of_the_split(tree, database):
    run = hpo.run(tree, sampler="random", trials=8, database=database, progress="none")
    hpo.run(tree, sampler="random", trials=5, split=1, database=database, progress="none")
    tried = hpo.try_configuration(tree, {"max_depth": 3}, database=database)
    again = hpo.try_configuration(tree, {"max_depth": 3}, database=database)
    values = [*run.trials["value"], run.reference.value, tried.trial.value]
    assert tried.n_configurations == again.n_configurations == len(values)
    assert tried.rank == again.rank == 1 + sum(np.array(values) > tried.trial.value + 1e-12)
    assert tried.best == max(values)


def test_one_try_at_a_time(tree, database):
    tried = hpo.try_configuration(tree, {"max_depth": 3}, database=database)
    with database.holding(database.run_key(MANUAL)), pytest.raises(RunInUse):
        hpo.try_configuration(tree, {"max_depth": 4}, database=database)
    assert len(tried.run.trials) == 1
    assert hpo.try_configuration(tree, {"max_depth": 4}, database=database).trial.number == 1


def test_what_is_refused_leaves_nothing_behind(tree, tmp_path):
    for params in ({"depth": 1}, {"max_features": 0.5}, {"max_depth": "deep"}):
        with pytest.raises(InvalidOption):
            hpo.try_configuration(tree, params, database=tmp_path / "new.db")
    with pytest.raises(InvalidOption):
        hpo.try_configuration(tree, {}, split=-1, database=tmp_path / "new.db")
    assert not list(tmp_path.iterdir())


def test_a_try_can_be_exported(tree, database, tmp_path):
    tried = hpo.try_configuration(tree, {"max_depth": 30, "ccp_alpha": 0.5}, database=database)
    tried.run.export(tmp_path / "model")
    assert hpo.load_model(tmp_path / "model").get_params()["max_depth"] == 30
    assert "by hand" in (tmp_path / "model" / "README.md").read_text()


def test_try_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(["try", "breast-cancer-svm", "svc__C=10"]) == 0
    out = capsys.readouterr().out
    for expected in ("trial 0", "rank", "reference", "gap", "model parameters", "scale (default)"):
        assert expected in out, expected
    assert command(["try", "breast-cancer-svm", "svc__C=1000", "svc__kernel=linear"]) == 0
    out = capsys.readouterr().out
    for expected in ("trial 1", "last try", "svc__C *", "outside the space, 0.01 to 100 (log)"):
        assert expected in out, expected
    assert command(["try", "breast-cancer-svm", "svc__C=10", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["changed"] == {"svc__C": [1000.0, 10.0], "svc__kernel": ["linear", "rbf"]}
    assert said["trial"]["attributes"]["duplicate_of"].endswith("#0")
    assert command(["try", "breast-cancer-svm", "svc__C=-1"]) == 1
    assert "failed: InvalidParameterError" in capsys.readouterr().out
    for argv in ([], ["svc__C"], ["svc__c=1"], ["svc__C=x"], ["svc__degree=2"]):
        assert command(["try", "breast-cancer-svm", *argv]) == 2
        err = capsys.readouterr().err
        assert len(err.strip().splitlines()) == 1
    assert command(["doctor"]) == 0
    assert command(["list"]) == 0
    assert "4/4 (1 failed)" in capsys.readouterr().out
