"""Study definitions: what they accept, what they refuse when written, and what they make of data and estimators."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

import hpo
from hpo import Categorical, CrossValidation, Data, Float, Holdout, HpoError, Int, InvalidDefinition, SearchSpace
from hpo.evaluation.evaluate import Problem
from hpo.study.definition import context_hash, data_hash, normalised_name

SPACE = {"C": Float(0.1, 10, log=True), "kernel": ["linear", "rbf"], "gamma": Float(1e-3, 1, when={"kernel": "rbf"})}


def load():
    return load_iris(return_X_y=True)


def build(params):
    return make_pipeline(StandardScaler(), SVC(**params))


def hashes(definition):
    return {"data": data_hash(definition.load()), **definition.fixed_hashes}


def define(**changes):
    whole = {"name": "iris-svm", "data": load, "estimator": SVC(), "space": SPACE, "metric": "accuracy"}
    return hpo.StudyDefinition(**whole | changes)


# --- refused when written ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        # the study's own words
        ({"name": "a/b"}, r"'a/b' contains \"/\", which separates the parts of a run's name"),
        ({"name": "iris@2"}, r"'iris@2' contains \"@\""),
        ({"name": ""}, "name is '': give a printable text of 1 to 100 characters"),
        ({"name": " "}, "name is ' '"),
        ({"name": "a\nb"}, r"name is 'a\\nb'"),
        ({"name": "x" * 101}, "1 to 100 characters"),
        ({"name": 3}, "name is 3"),
        ({"data": load()}, "data is a tuple: give a function"),
        ({"split": 5}, r"split is 5; give Holdout\(...\) or CrossValidation\(splitter=...\)"),
        ({"margin": 0}, "margin=0 must be above 0, in the metric's units"),
        ({"margin": -0.01}, r"margin=-0\.01"),
        ({"margin": float("nan")}, "margin=nan"),
        ({"margin": "0.01"}, r"margin='0\.01'"),
        # the metric
        ({"metric": "acuracy"}, "metric 'acuracy' is not .*; did you mean .*accuracy"),
        ({"metric": "qqqqqq"}, r"'qqqqqq' is not .*; sklearn\.metrics\.get_scorer_names\(\) lists"),
        ({"metric": 0.5}, r"metric 0\.5 is neither a scorer's name nor a function"),
        ({"metric": None}, "metric None is neither"),
        ({"extra_metrics": ["f1_makro"]}, "'f1_makro' is not .*; did you mean .*f1_macro"),
        ({"extra_metrics": "f1_macro"}, r"extra_metrics is a text: give a list, \['f1_macro'\]"),
        ({"extra_metrics": ["accuracy"]}, "two metrics have the same name among accuracy"),
        ({"extra_metrics": None}, "extra_metrics=None: give a list of scorers"),
        # estimator and space
        ({"estimator": SVC}, "give an instance, SVC\\(\\)"),
        ({"estimator": "svm"}, "estimator is 'svm'; give a scikit-learn estimator"),
        ({"estimator": build}, "a function, which has no defaults: name the usual hyperparameters with reference="),
        ({"space": {"Z": [1, 2]}}, r"Invalid parameter 'Z' for estimator SVC\(\).*Valid parameters are: \['C'"),
        ({"space": {**SPACE, "degre": Int(2, 3, when={"kernel": "rbf"})}}, "Invalid parameter 'degre'"),
        ({"estimator": make_pipeline(SVC())}, "Invalid parameter 'C' for estimator Pipeline"),
        ({"reference": {"c": 1.0}}, "Invalid parameter 'c'"),
        ({"reference": [1]}, r"reference=\[1\]: give a dict name -> value"),
        # start
        ({"start": {"C": 1.0}}, r"start=\{'C': 1.0\}: give a list of dicts name -> value"),
        ({"start": ["C"]}, r"start=\['C'\]: give a list of dicts"),
        ({"start": "C"}, "start='C': give a list of dicts"),
        ({"start": None}, "start=None: give a list of dicts"),
        ({"start": [{"C": 1.0}]}, r"start\[0\] lacks a value for 'kernel'"),
        ({"start": [{"C": 1.0, "kernel": "rbf", "gamma": 0.1}, {"C": 99, "kernel": "linear"}]}, r"start\[1\]: C: 99"),
        ({"start": [{"C": 1.0, "kernel": "linear", "gamma": 0.1}]}, "sets 'gamma', .*only when kernel is rbf"),
        ({"start": [{"C": 1.0, "kernel": "poly"}]}, "'poly' is not one of 'linear', 'rbf'"),
        ({"start": [{"c": 1.0}]}, "'c'; the space has C, gamma, kernel"),
        # the space's own
        ({"space": {"C": [1], "gamma": Float(0, 1, when={"kernal": "rbf"})}}, "gamma: .*'kernal'; known: C"),
        ({"space": {"C": Int(1, 2, when={"gamma": 1}), "gamma": Int(1, 2, when={"C": 1})}}, "form a cycle"),
        ({"space": {}}, "a search space is a dict"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_when_written(changes, message):
    with pytest.raises(HpoError, match=message):
        define(**changes)
    assert issubclass(HpoError, Exception)


@pytest.mark.parametrize(
    "space",
    [
        {"kernel": Categorical(["linear", "rbf", "poly"]), "degre": Int(2, 3, when={"kernel": "poly"})},
        {"degree": Int(1, 100, grid=2), "degre": Int(0, 1, when={"degree": 7})},
        {
            "degree": Int(1, 3),
            "max_iter": Int(1, 2, when={"degree": [2, 3]}),
            "degre": Int(0, 1, when={"degree": [1, 2], "max_iter": 2}),  # only degree=2 leads there
        },
    ],
    ids=["last choice", "a value that is no level", "narrowed twice"],
)
def test_a_key_the_estimator_lacks_is_found_under_any_condition(space):
    with pytest.raises(InvalidDefinition, match="'degre'"):
        define(space=space)


def test_a_definition_that_is_sound_is_accepted_and_keeps_what_it_was_given():
    study = define(
        start=[{"kernel": "linear", "C": np.float64(1)}], extra_metrics=["f1_macro"], margin=0.01, reference={"C": 5}
    )
    assert isinstance(study.space, SearchSpace)
    assert study.start == ({"C": 1.0, "kernel": "linear"},)
    assert type(study.start[0]["C"]) is float
    assert list(study.scorers) == ["accuracy", "f1_macro"]
    assert study.split == CrossValidation(folds=5, repeats=1, test=0.2)
    with pytest.raises(AttributeError, match="cannot assign"):
        study.name = "other"


# --- data in all its forms ---

X, Y = load()
FRAME = load_iris(as_frame=True)


@pytest.mark.parametrize(
    ("returned", "has_target"),
    [
        (X, False),
        ((X, Y), True),
        ((X, None), False),
        (load_iris(), True),
        (FRAME, True),
        (Data(X, Y), True),
        (Data(X), False),
        ((FRAME.data, FRAME.target), True),
        (FRAME.data, False),
        ((sparse.csr_array(X), Y), True),
        (sparse.csc_matrix(X), False),
        (([str(row) for row in X], list(Y)), True),
        ((X, np.column_stack([Y, Y])), True),
    ],
    ids=[
        "array", "pair", "pair without target", "Bunch", "Bunch of frames", "Data", "Data without target", "frames",
        "frame", "sparse", "sparse without target", "texts", "several outputs",
    ],
)  # fmt: skip
def test_data_comes_in_many_forms_and_goes_through_as_it_is(returned, has_target):
    data = define(data=lambda: returned).load()
    assert isinstance(data, Data)
    assert (data.y is not None) == has_target
    given = returned[0] if isinstance(returned, tuple) else getattr(returned, "X", getattr(returned, "data", returned))
    if not isinstance(returned, pd.DataFrame | np.ndarray) and not sparse.issparse(returned):
        assert data.X is given
    else:
        assert data.X is returned


def test_groups_and_fit_params_are_kept():
    groups, weights = np.arange(150) // 10, np.ones(150)
    data = define(data=lambda: Data(X, Y, groups, {"sample_weight": weights})).load()
    assert data.groups is groups
    assert data.fit_params == {"sample_weight": weights}


@pytest.mark.parametrize(
    ("load_it", "message"),
    [
        (lambda: (X, Y, Y), r"returned 3 values: return X, \(X, y\).* hpo\.Data"),
        (lambda: (X, Y[:-1]), "y has 149 rows.* X has 150: give one per row"),
        (lambda: Data(X, Y, groups=Y[:9]), "groups has 9 rows.* X has 150"),
        (lambda: Data(X, Y, fit_params=[1]), r"fit_params=\[1\]: give a dict name -> argument of fit"),
        (
            lambda: Data(X, Y, fit_params={"sample_weigth": Y}),
            "fit_params names 'sample_weigth', and the fit of SVC takes X, y, sample_weight only",
        ),
        (lambda: None, "returned a NoneType, which has no rows"),
        (lambda: 5, "returned a int, which has no rows"),
        (lambda: (5, Y), "without rows|has no rows"),
        (lambda: open("/nowhere/at/all.csv"), r"data\(\) raised FileNotFoundError"),  # noqa: SIM115
        (lambda: {}["target"], r"data\(\) raised KeyError: 'target'"),
        (lambda: [][0], r"data\(\) raised IndexError"),
        (lambda: 1 / 0, r"data\(\) raised ZeroDivisionError"),
    ],
)
def test_data_that_cannot_be_used_is_refused_by_the_studys_name(load_it, message):
    with pytest.raises(InvalidDefinition, match=f"iris-svm: .*({message})"):
        define(data=load_it).load()


# --- estimators, reference ---


def test_an_estimator_is_cloned_and_set_by_paths():
    given = make_pipeline(StandardScaler(), SVC(degree=4))
    study = define(estimator=given, space={"svc__C": Float(1, 2), "standardscaler__with_mean": [True, False]})
    built = study.build({"svc__C": 1.5, "standardscaler__with_mean": False})
    assert not study.is_function
    assert (built[-1].C, built[-1].degree, built[0].with_mean) == (1.5, 4, False)
    assert (given[-1].C, given[0].with_mean) == (1.0, True)


def test_a_step_may_be_a_choice_and_its_parameters_conditional():
    study = define(
        estimator=make_pipeline(StandardScaler(), SVC()),
        space={
            "svc": Categorical({"svm": SVC(), "logistic": LogisticRegression(), "forest": RandomForestClassifier()}),
            "svc__C": Float(0.1, 10, when={"svc": ["svm", "logistic"]}),
            "svc__n_estimators": Int(10, 20, when={"svc": "forest"}),
        },
    )
    forest = study.space.use({"svc": "forest", "svc__n_estimators": 12})
    built = [study.build(forest) for _ in range(2)]
    assert built[0][-1].n_estimators == 12
    assert built[0][-1] is not built[1][-1]
    assert forest["svc"].n_estimators == 100  # the choice itself is left alone


def test_a_function_is_given_its_parameters_and_needs_a_reference():
    study = define(estimator=build, reference={"C": 2, "kernel": "linear"})
    assert study.is_function
    assert study.build(study.reference_used())[-1].C == 2
    assert "gamma" not in study.reference_used()


def test_the_reference_of_an_instance_is_its_own_parameters_unless_named():
    assert define(estimator=SVC(C=7)).reference_used() == {}
    assert define(estimator=SVC(C=7)).build({}).C == 7
    assert define(reference={"C": 1000, "kernel": "poly"}).reference_used() == {"C": 1000, "kernel": "poly"}


def test_labels_in_a_reference_stand_for_their_objects():
    scaler = MinMaxScaler()
    study = define(
        estimator=lambda params: make_pipeline(params["scale"], SVC(C=params["C"])),
        space={"scale": Categorical({"minmax": scaler, "standard": StandardScaler()}), "C": Float(0.1, 10)},
        reference={"scale": "minmax", "C": 1},
    )
    assert study.reference_used() == {"scale": scaler, "C": 1}


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (lambda params: None, "returned None, which has no fit"),
        (lambda params: SVC(**params, colour=1), "cannot be built from its reference: TypeError"),
        (lambda params: SVC(gamma=params["gamma"]), "cannot be built from its reference: KeyError: 'gamma'"),
    ],
)
def test_a_function_that_builds_no_estimator_is_said_before_the_first_trial(estimator, message):
    with pytest.raises(InvalidDefinition, match=f"iris-svm: .*{message}"):
        Problem(define(estimator=estimator, reference={"C": 1.0}))


def test_an_unsupervised_study_needs_no_target():
    study = define(
        data=lambda: X,
        estimator=KMeans(n_init=1),
        space={"n_clusters": Int(2, 5)},
        metric=lambda estimator, X, y: estimator.score(X),
        split=Holdout(test=0),
    )
    assert study.load().y is None
    assert list(study.scorers) == ["<lambda>"]


# --- hashes ---


def test_each_part_changes_its_own_hash_and_no_other():
    changes = {
        "estimator": {"estimator": SVC(degree=2)},
        "space": {"space": SPACE | {"C": Float(0.1, 9, log=True)}},
        "metric": {"metric": "balanced_accuracy"},
        "split": {"split": CrossValidation(folds=4)},
        "start": {"start": [{"C": 1, "kernel": "linear"}]},
    }
    assert define().fixed_hashes == define(name="other").fixed_hashes
    before = define().fixed_hashes
    for part, change in changes.items():
        after = define(**change).fixed_hashes
        assert {name for name in before if before[name] != after[name]} == {part}
    after = define(extra_metrics=["f1_macro"]).fixed_hashes
    assert {name for name in before if before[name] != after[name]} == {"metric"}


def test_the_order_of_writing_the_definition_changes_no_hash():
    reordered = dict(reversed(SPACE.items())) | {"kernel": ["rbf", "linear"]}
    study = define(space=reordered, start=[{"kernel": "linear", "C": 1.0}])
    assert study.fixed_hashes == define(start=[{"C": 1.0, "kernel": "linear"}]).fixed_hashes


def test_data_of_the_same_content_have_the_same_hash_and_one_value_changes_it():
    def hashed(data):
        return hashes(define(data=data))["data"]

    changed = X.copy()
    changed[7, 2] += 1e-9
    frames = (FRAME.data, FRAME.target)
    renamed = (FRAME.data.rename(columns=str.upper), FRAME.target)
    assert (
        hashed(load) == hashed(lambda: (X.copy(), Y)) == hashed(lambda: (np.asfortranarray(X), Y)) == hashed(load_iris)
    )
    assert len(set(map(hashed, [load, lambda: (changed, Y), lambda: frames, lambda: renamed]))) == 4


def test_what_decides_a_score_decides_the_context():
    one = hashes(define())
    assert context_hash(one, 0) == context_hash(hashes(define(space={"C": [1]}, name="other")), 0)
    others = [
        context_hash(one, 1),
        *(
            context_hash(hashes(define(**change)), 0)
            for change in (
                {"metric": "f1_macro"},
                {"estimator": SVC(degree=2)},
                {"split": Holdout()},
                {"data": lambda: (X * 2, Y)},
            )
        ),
    ]
    assert len({context_hash(one, 0), *others}) == 6


def test_an_estimator_that_cannot_be_fingerprinted_is_refused_by_name():
    stream = (number for number in range(3))

    def build_from_stream(params):
        return SVC(C=next(stream))

    with pytest.raises(InvalidDefinition, match=r"stream \(used by iris-svm's estimator\) is a builtins.generator"):
        define(estimator=build_from_stream, reference={"C": 1}).fixed_hashes


def test_names_are_the_same_with_dashes_and_underscores():
    assert normalised_name("Digits_MLP") == normalised_name("digits-mlp")


def test_how_the_metric_is_shown():
    assert define(metric="neg_log_loss").shown_metric.direction == "lower is better"
    assert define().shown_metric.direction == "higher is better"


@pytest.mark.parametrize("loader", [load_breast_cancer, load_diabetes, load_iris])
def test_scikit_learns_loaders_are_data_functions(loader):
    data = define(data=loader).load()
    expected_X, expected_y = loader(return_X_y=True)
    assert np.array_equal(data.X, expected_X)
    assert np.array_equal(data.y, expected_y)


def test_a_target_with_holes_and_a_metric_named_like_a_hyperparameter_are_refused():
    X = np.arange(40.0).reshape(20, 2)
    y = np.where(np.arange(20) == 3, np.nan, np.arange(20) % 2)
    holes = hpo.StudyDefinition("holes", lambda: (X, y), SVC(), {"degree": Int(1, 3)}, "accuracy")
    with pytest.raises(hpo.InvalidDefinition, match=r"the 20 rows cannot be split .*NaN"):
        Problem(holes)

    def degree(estimator, X, y):
        return 0.0

    with pytest.raises(hpo.InvalidDefinition, match="a metric cannot be named 'degree'"):
        hpo.StudyDefinition("named", lambda: (X, y), SVC(), {"degree": Int(1, 3)}, degree)
