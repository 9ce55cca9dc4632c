"""Model parameters: counted against closed forms, for every estimator of scikit-learn that can be fitted."""

import itertools
import json
import math
import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import RFE, SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, PoissonRegressor, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.random_projection import GaussianRandomProjection
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators
from sklearn.utils._test_common.instance_generator import _construct_instances

import hpo
from hpo.errors import InvalidOption
from hpo.models.equations import equation
from hpo.models.parameters import count_parameters, model_parameters

N, D, K = 40, 4, 3  # rows, features, classes
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, D))
LABELS = np.repeat(["a", "b", "c"], [14, 13, 13])
TARGET = X @ [1.0, 2.0, 3.0, 4.0] + RNG.normal(size=N)
TWO = np.c_[TARGET, -TARGET]
TEXTS = ["a cat sat", "a dog ran", "the cat ran", "dogs and cats"] * 10
IRIS = load_iris(as_frame=True)
DIABETES = load_diabetes(as_frame=True)
KINDS = dict(all_estimators())


def trained(estimator, *data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence, on data this small
        return estimator.fit(*data)


def fitted_for_all(name):
    """An estimator of this class, fitted on whichever small data it takes; and which."""
    if name == "FrozenEstimator":
        return FrozenEstimator(trained(Ridge(), X, TARGET)), "as it is"
    estimator = next(iter(_construct_instances(KINDS[name])))
    fewer = {"max_iter": 250} if name == "TSNE" else {"Cs": 2} if name == "LogisticRegressionCV" else {}
    estimator.set_params(**fewer)
    labels = {"labels": (X, LABELS), "binary": (X, LABELS == "a"), "sparse labels": (X, (TWO > 0).astype(int))}
    numbers = {"numbers": (X, TARGET), "positive": (X, np.exp(TARGET / 9)), "two": (X, TWO), "1d": (X[:, 0], TARGET)}
    others = {
        "non-negative": (np.abs(X), LABELS), "unsupervised": (X,), "square": (X @ X.T,), "three": (X[:, :3],),
        "texts": (TEXTS,), "records": ([{"a": 1, "b": 2}] * 5,), "only labels": (LABELS,), "sets": ([{1}, {1, 2}],),
    }  # fmt: skip
    choices = numbers | labels | others if is_regressor(estimator) else labels | numbers | others
    if not is_classifier(estimator) and not is_regressor(estimator):
        choices = others | labels | numbers
        choices = {"unsupervised": choices.pop("unsupervised"), **choices}
    reasons = {}
    for what, data in choices.items():
        try:
            return trained(clone(estimator), *data), what
        except (ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
            reasons[what] = str(error)[:100]
    raise AssertionError(f"{name} can be fitted on none: {reasons}")


# --- every estimator of scikit-learn ---

# What is counted where it does not depend on the data: n rows, d features, k classes as above.
LINEAR = D + 1
CLOSED_FORMS = {
    **dict.fromkeys(
        ["ARDRegression", "BayesianRidge"], lambda e: LINEAR + 1 + np.size(e.lambda_) + e.sigma_.size
    ),
    **dict.fromkeys(
        ["ElasticNet", "ElasticNetCV", "GammaRegressor", "Lars", "LarsCV", "Lasso", "LassoCV", "LassoLars",
         "LassoLarsCV", "LassoLarsIC", "LinearRegression", "LinearSVR", "OrthogonalMatchingPursuit",
         "OrthogonalMatchingPursuitCV", "PassiveAggressiveRegressor", "PoissonRegressor", "QuantileRegressor", "Ridge",
         "RidgeCV", "SGDRegressor", "TheilSenRegressor", "TweedieRegressor", "RANSACRegressor", "SGDOneClassSVM",
         "TransformedTargetRegressor", "FrozenEstimator", "GridSearchCV", "RandomizedSearchCV"],
        lambda e: LINEAR,
    ),
    "HuberRegressor": lambda e: LINEAR + 1,  # and the scale of outliers
    **dict.fromkeys(
        ["LinearSVC", "LogisticRegression", "LogisticRegressionCV", "PassiveAggressiveClassifier", "Perceptron",
         "RidgeClassifier", "RidgeClassifierCV", "SGDClassifier", "OneVsRestClassifier", "OneVsOneClassifier"],
        lambda e: K * LINEAR,
    ),
    **dict.fromkeys(
        ["MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV", "MultiOutputRegressor",
         "MultiOutputClassifier"],
        lambda e: 2 * LINEAR,
    ),
    **dict.fromkeys(["RegressorChain", "ClassifierChain"], lambda e: LINEAR + LINEAR + 1),  # the second sees the first
    **dict.fromkeys(
        ["SVC", "NuSVC", "SVR", "NuSVR", "OneClassSVM"],
        lambda e: len(e.support_) * (D + len(e.dual_coef_)) + len(e.intercept_),
    ),
    **dict.fromkeys(
        ["KMeans", "MiniBatchKMeans", "BisectingKMeans", "MeanShift", "AffinityPropagation"],
        lambda e: len(e.cluster_centers_) * D,
    ),
    **dict.fromkeys(["PCA", "IncrementalPCA", "SparsePCA", "MiniBatchSparsePCA", "FastICA"],
                    lambda e: len(e.components_) * D + D),
    "FactorAnalysis": lambda e: len(e.components_) * D + 2 * D,
    **dict.fromkeys(["NMF", "MiniBatchNMF", "TruncatedSVD", "DictionaryLearning", "MiniBatchDictionaryLearning",
                     "LatentDirichletAllocation", "NeighborhoodComponentsAnalysis"], lambda e: len(e.components_) * D),
    "BernoulliRBM": lambda e: 256 * D + 256 + D,
    **dict.fromkeys(["StandardScaler", "MinMaxScaler", "RobustScaler"], lambda e: 2 * D),
    **dict.fromkeys(["MaxAbsScaler", "SimpleImputer", "SelectKBest", "SelectPercentile", "SelectFpr", "SelectFdr",
                     "SelectFwe", "GenericUnivariateSelect", "VarianceThreshold", "SequentialFeatureSelector",
                     "FeatureAgglomeration", "TfidfTransformer"],
                    lambda e: D),
    "PowerTransformer": lambda e: 3 * D,
    "QuantileTransformer": lambda e: N * D,
    "KBinsDiscretizer": lambda e: D * (5 + 1),
    "SplineTransformer": lambda e: D * (5 + 2 * 3),  # knots, and as many outside as the degree on each side
    **dict.fromkeys(["OneHotEncoder", "OrdinalEncoder"], lambda e: sum(map(len, e.categories_))),
    "GaussianNB": lambda e: K * (2 * D + 1),
    **dict.fromkeys(["BernoulliNB", "MultinomialNB", "ComplementNB"], lambda e: K * (D + 1)),
    "GaussianMixture": lambda e: 1 + D + D * D,
    "BayesianGaussianMixture": lambda e: 2 + 1 + D + 1 + D * D,
    "LinearDiscriminantAnalysis": lambda e: K * LINEAR + D * (K - 1) + D,
    "QuadraticDiscriminantAnalysis": lambda e: K * (1 + D + D + D * D),
    **dict.fromkeys(["CCA", "PLSCanonical", "PLSRegression"], lambda e: (D + 1) + (D + 1) + 2 * D),  # one component
    "PLSSVD": lambda e: D + 1 + 2 * D,
    "NearestCentroid": lambda e: K * D + K + D,
    **dict.fromkeys(["EmpiricalCovariance", "ShrunkCovariance", "LedoitWolf", "OAS", "MinCovDet", "GraphicalLasso",
                     "GraphicalLassoCV"], lambda e: D + D * D),
    "EllipticEnvelope": lambda e: D + D * D + 1,
    **dict.fromkeys(["KNeighborsClassifier", "RadiusNeighborsClassifier", "KNeighborsRegressor",
                     "RadiusNeighborsRegressor"], lambda e: N * (D + 1)),
    **dict.fromkeys(["NearestNeighbors", "KNeighborsTransformer", "RadiusNeighborsTransformer", "KNNImputer",
                     "KernelDensity"], lambda e: N * D),
    "LocalOutlierFactor": lambda e: N * D + 1,
    "KernelRidge": lambda e: N * D + N,
    "KernelPCA": lambda e: N * D + len(e.eigenvalues_) * (N + 1),
    "KernelCenterer": lambda e: N + 1,
    "GaussianProcessRegressor": lambda e: N * D + N + len(e.kernel_.theta),
    "Nystroem": lambda e: N * D + N * N,
    **dict.fromkeys(["LabelPropagation", "LabelSpreading"], lambda e: N * D + N * K),
    "MLPClassifier": lambda e: (D + 1) * 100 + 101 * K,
    "MLPRegressor": lambda e: (D + 1) * 100 + 101,
    **dict.fromkeys(["DecisionTreeClassifier", "ExtraTreeClassifier"], lambda e: of_trees([e], K)),
    **dict.fromkeys(["DecisionTreeRegressor", "ExtraTreeRegressor"], lambda e: of_trees([e], 1)),
    **dict.fromkeys(["RandomForestClassifier", "ExtraTreesClassifier", "BaggingClassifier", "VotingClassifier"],
                    lambda e: of_trees(e.estimators_, K)),
    **dict.fromkeys(["RandomForestRegressor", "ExtraTreesRegressor", "BaggingRegressor", "VotingRegressor"],
                    lambda e: of_trees(e.estimators_, 1)),
    "AdaBoostClassifier": lambda e: of_trees(e.estimators_, K) + len(e.estimators_),
    "AdaBoostRegressor": lambda e: of_trees(e.estimators_, 1) + len(e.estimators_),
    "IsolationForest": lambda e: of_trees(e.estimators_, 1) + 1,
    "GradientBoostingRegressor": lambda e: of_trees(e.estimators_.ravel(), 1) + 1,
    "GradientBoostingClassifier": lambda e: of_trees(e.estimators_.ravel(), 1) + K,
    "DummyClassifier": lambda e: K,
    "DummyRegressor": lambda e: 1,
    "IsotonicRegression": lambda e: 2 * len(e.X_thresholds_),
    "CountVectorizer": lambda e: len(e.vocabulary_),
    "TfidfVectorizer": lambda e: 2 * len(e.vocabulary_),
    "DictVectorizer": lambda e: 2,
    # nothing that new rows would need
    **dict.fromkeys(["AdditiveChi2Sampler", "AgglomerativeClustering", "Binarizer", "ClassicalMDS", "DBSCAN",
                     "FeatureHasher", "FunctionTransformer", "GaussianRandomProjection", "HDBSCAN", "HashingVectorizer",
                     "LabelBinarizer", "LabelEncoder", "MDS", "MultiLabelBinarizer", "Normalizer", "OPTICS",
                     "PatchExtractor", "PolynomialCountSketch", "PolynomialFeatures", "RBFSampler", "SkewedChi2Sampler",
                     "SparseCoder", "SparseRandomProjection", "SpectralBiclustering", "SpectralClustering",
                     "SpectralCoclustering", "SpectralEmbedding", "TSNE", "MissingIndicator"], lambda e: 0),
}  # fmt: skip


LINEAR_MODELS = {
    "ARDRegression", "BayesianRidge", "CCA", "ElasticNet", "ElasticNetCV", "FrozenEstimator", "GammaRegressor",
    "GridSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV", "HuberRegressor", "Lars", "LarsCV", "Lasso",
    "LassoCV", "LassoLars", "LassoLarsCV", "LassoLarsIC", "LinearDiscriminantAnalysis", "LinearRegression",
    "LinearSVC", "LinearSVR", "LogisticRegression", "LogisticRegressionCV", "MultiTaskElasticNet",
    "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV", "OrthogonalMatchingPursuit",
    "OrthogonalMatchingPursuitCV", "PLSCanonical", "PLSRegression", "PassiveAggressiveClassifier",
    "PassiveAggressiveRegressor", "Perceptron", "Pipeline", "PoissonRegressor", "QuantileRegressor",
    "RandomizedSearchCV", "Ridge", "RidgeCV", "RidgeClassifier", "RidgeClassifierCV", "SGDClassifier", "SGDRegressor",
    "TheilSenRegressor", "TweedieRegressor",
}  # fmt: skip


def of_trees(trees, n_values):
    n_leaves = sum(tree.get_n_leaves() for tree in trees)
    n_splits = sum(int((tree.tree_.children_left != -1).sum()) for tree in trees)
    return 2 * n_splits + n_values * n_leaves


# scikit-learn gives them up in 1.10: https://scikit-learn.org/1.8/whats_new/v1.8.html
@pytest.mark.filterwarnings("ignore:Class PassiveAggressive:FutureWarning")
@pytest.mark.parametrize("name", KINDS)
def test_every_estimator_of_scikit_learn_is_counted_and_described(name):
    fitted, what = fitted_for_all(name)
    frame = model_parameters(fitted)
    count = count_parameters(fitted)
    assert count == frame["count"].sum(), what
    assert (frame["count"] > 0).all()
    for row in frame.itertuples():
        size = math.prod(row.shape)
        assert size == row.count or not row.shape, row  # () also where arrays of a list differ in shape
        assert row.meaning
        assert not row.minimum > row.maximum
    json.dumps(frame.replace({np.nan: None}).to_dict("records"))
    assert count_parameters(pickle.loads(pickle.dumps(fitted))) == count
    if name in CLOSED_FORMS:
        assert count == CLOSED_FORMS[name](fitted), what
    text = equation(fitted)
    assert (text is not None) == (name in LINEAR_MODELS), text
    if text is not None:
        predict = getattr(fitted, "decision_function", fitted.predict)
        link = np.exp if text.startswith("log(") else np.asarray
        expected = predict(X).reshape(N, -1)
        said = np.column_stack([link(predicted(line, X)) for line in text.splitlines()])
        assert said == pytest.approx(expected, rel=0.02, abs=0.02)


def test_the_closed_forms_are_of_estimators_that_there_are():
    assert len(KINDS) >= 205
    assert CLOSED_FORMS.keys() <= KINDS.keys()
    assert len(CLOSED_FORMS) >= 160


# --- closed forms on known data ---


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_a_perceptron_has_a_weight_for_each_pair_of_neighbours_and_a_bias_for_each_neuron(layers):
    mlp = trained(MLPClassifier(layers, max_iter=1, random_state=0), X, LABELS)
    sizes = [D, *layers, K]
    expected = sum((a + 1) * b for a, b in itertools.pairwise(sizes))
    assert count_parameters(mlp) == expected
    frame = model_parameters(mlp, feature_names="abcd")
    assert frame["shape"].tolist() == [*itertools.pairwise(sizes), *((size,) for size in sizes[1:])]
    assert frame.loc[0, "features"] == ("a", "b", "c", "d")
    assert frame.loc[1, "features"] is None


@pytest.mark.parametrize(("labels", "rows"), [(LABELS == "a", 1), (LABELS, 3)])
def test_logistic_regression(labels, rows):
    frame = model_parameters(trained(LogisticRegression(), pd.DataFrame(X, columns=list("abcd")), labels))
    assert frame["count"].tolist() == [rows * D, rows]
    assert frame.loc[0, "features"] == ("a", "b", "c", "d")
    assert frame.loc[0, "classes"] == (("True",) if rows == 1 else ("a", "b", "c"))


def test_the_range_is_that_of_the_numbers():
    model = Ridge().fit(X, TWO)
    frame = model_parameters(model).set_index("name")
    assert frame.loc["coef_", "shape"] == (2, D)
    assert frame.loc["coef_", "minimum"] == model.coef_.min()
    assert frame.loc["coef_", "maximum"] == model.coef_.max()
    assert frame.loc["intercept_", "count"] == 2


def test_trees_alone_and_together():
    tree = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, LABELS)
    n_nodes, n_leaves = tree.tree_.node_count, tree.get_n_leaves()
    frame = model_parameters(tree).set_index("name")
    assert frame["count"].to_dict() == {
        "tree_.feature": n_nodes - n_leaves, "tree_.threshold": n_nodes - n_leaves, "tree_.value": K * n_leaves,
    }  # fmt: skip
    assert "1 tree, greatest depth 3" in frame.loc["tree_.feature", "meaning"]
    forest = RandomForestClassifier(30, random_state=0).fit(X, LABELS)
    frame = model_parameters(forest)
    assert len(frame) == 3
    assert set(frame["path"]) == {"estimators_[0..29]"}
    depth = max(tree.get_depth() for tree in forest.estimators_)
    assert f"30 trees, greatest depth {depth}" in frame.loc[0, "meaning"]
    assert frame.loc[1, "maximum"] == max(tree.tree_.threshold.max() for tree in forest.estimators_)
    two = DecisionTreeRegressor().fit(X, TWO)
    assert count_parameters(two) == of_trees([two], 2)


def test_boosting():
    boosted = GradientBoostingClassifier(n_estimators=7).fit(X, LABELS)
    assert count_parameters(boosted) == of_trees(boosted.estimators_.ravel(), 1) + K
    hist = HistGradientBoostingClassifier(max_iter=4, min_samples_leaf=3).fit(X, LABELS)
    trees = [tree for iteration in hist._predictors for tree in iteration]
    n_leaves = sum(tree.get_n_leaf_nodes() for tree in trees)
    n_splits = sum(len(tree.nodes) for tree in trees) - n_leaves
    assert count_parameters(hist) == 2 * n_splits + n_leaves + K
    frame = model_parameters(hist)
    assert frame["count"].tolist() == [K, n_splits, n_splits, n_leaves]
    assert "12 trees" in frame.loc[1, "meaning"]


def test_support_vectors():
    for kernel in ("linear", "rbf"):
        svc = SVC(kernel=kernel).fit(X, LABELS)
        n_support = int(svc.n_support_.sum())
        assert count_parameters(svc) == n_support * D + (K - 1) * n_support + K * (K - 1) // 2


def test_whitening_and_scaling_count_what_they_use():
    assert count_parameters(PCA(2).fit(X)) == 2 * D + D
    assert count_parameters(PCA(2, whiten=True).fit(X)) == 2 * D + D + 2
    assert count_parameters(StandardScaler(with_mean=False).fit(X)) == D
    assert count_parameters(StandardScaler(with_std=False).fit(X)) == D
    assert count_parameters(KMeans(3, n_init=1).fit(X)) == 3 * D
    assert count_parameters(GaussianNB().fit(X, LABELS)) == K * (2 * D + 1)
    assert count_parameters(GaussianRandomProjection(2).fit(X)) == 0  # drawn, whatever the data


# --- nests ---


def test_a_pipeline_is_the_sum_of_its_parts():
    pipe = make_pipeline(StandardScaler(), PCA(2), SVR()).fit(X, TARGET)
    assert count_parameters(pipe) == sum(count_parameters(step) for _, step in pipe.steps)
    assert [*model_parameters(pipe)["path"].unique()] == ["standardscaler", "pca", "svr"]
    assert count_parameters(make_pipeline(FunctionTransformer(), "passthrough").fit(X)) == 0


def test_names_go_through_column_transformers_and_selectors():
    frame = pd.DataFrame({"age": X[:, 0], "size": X[:, 1], "town": LABELS})
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "size"]),
            ("towns", OneHotEncoder(), ["town"]),
            ("nothing", "drop", ["age"]),
        ]
    )
    pipe = make_pipeline(columns, Ridge()).fit(frame, TARGET)
    made = ("numbers__age", "numbers__size", "towns__town_a", "towns__town_b", "towns__town_c")
    table = model_parameters(pipe).set_index(["path", "name"])
    assert table.loc[("ridge", "coef_"), "features"] == made
    assert table.loc[("columntransformer.numbers.standardscaler", "mean_"), "features"] == ("age", "size")
    assert table.loc[("columntransformer.towns", "categories_[0]"), "count"] == 3
    assert table["count"].sum() == 2 + 2 + 2 + 3 + 5 + 1
    kept = make_pipeline(SelectKBest(k=2), Lasso(0.01)).fit(DIABETES.data, DIABETES.target)
    assert model_parameters(kept).set_index("name").loc["coef_", "features"] == ("bmi", "s5")
    names = ["a", "b", "c", "d"]
    rfe = RFE(Ridge(), n_features_to_select=1).fit(X, TARGET)
    assert model_parameters(rfe, names).set_index("name").loc["coef_", "features"] == ("d",)
    union = FeatureUnion([("pca", PCA(1)), ("scaler", StandardScaler())]).fit(X)
    table = model_parameters(make_pipeline(union, Ridge()).fit(X, TARGET), names).set_index(["path", "name"])
    assert table.loc[("featureunion.scaler", "mean_"), "features"] == tuple(names)
    assert table.loc[("ridge", "coef_"), "features"] == ("pca__pca0", *(f"scaler__{name}" for name in names))
    numbers = ColumnTransformer([("some", StandardScaler(), [2, 0]), ("slice", MinMaxScaler(), slice(3, 4))]).fit(X)
    table = model_parameters(numbers, names).set_index(["path", "name"])
    assert table.loc[("some", "mean_"), "features"] == ("c", "a")
    assert table.loc[("slice", "min_"), "features"] == ("d",)


def test_names_are_those_of_the_members_own_features():
    bagged = BaggingRegressor(Ridge(), 3, max_features=2, random_state=0).fit(X, TARGET)
    table = model_parameters(bagged, "abcd").set_index(["path", "name"])
    for i, chosen in enumerate(bagged.estimators_features_):
        assert table.loc[(f"estimators_[{i}]", "coef_"), "features"] == tuple("abcd"[j] for j in chosen)
    stack = StackingClassifier([("one", LogisticRegression()), ("two", GaussianNB())], cv=2)
    table = model_parameters(trained(stack, IRIS.data, IRIS.target)).set_index(["path", "name"])
    assert table.loc[("one", "coef_"), "features"] == tuple(IRIS.data.columns)
    assert table.loc[("final_estimator_", "coef_"), "features"][0] == "stackingclassifier_one0"


@pytest.mark.parametrize(
    ("nest", "parts"),
    [
        (VotingClassifier([("a", GaussianNB()), ("b", LogisticRegression())]), lambda n: n.estimators_),
        (OneVsRestClassifier(LogisticRegression()), lambda n: n.estimators_),
        (MultiOutputRegressor(Ridge()), lambda n: n.estimators_),
        (GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-3]}, cv=2), lambda n: [n.best_estimator_]),
        (TransformedTargetRegressor(Ridge(), transformer=StandardScaler()), lambda n: [n.regressor_, n.transformer_]),
        (
            CalibratedClassifierCV(GaussianNB(), cv=2),
            lambda n: [p for c in n.calibrated_classifiers_ for p in (c.estimator, *c.calibrators)],
        ),
        (FrozenEstimator(GaussianNB().fit(X, LABELS)), lambda n: [n.estimator]),
        (FrozenEstimator(SelectKBest(k=2).fit(X, LABELS)), lambda n: [n.estimator]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_nest_is_the_sum_of_its_parts(nest, parts):
    target = TWO if isinstance(nest, MultiOutputRegressor) else TARGET if is_regressor(nest) else LABELS
    nest = trained(nest, X, target)
    assert count_parameters(nest) == sum(map(count_parameters, parts(nest))) > 0
    assert count_parameters(nest) == model_parameters(nest)["count"].sum()


def test_one_object_in_two_places_is_counted_once():
    frozen = FrozenEstimator(GaussianNB().fit(X, LABELS))
    calibrated = trained(CalibratedClassifierCV(frozen, cv=3), X, LABELS)
    assert count_parameters(calibrated) < 3 * count_parameters(frozen)
    weighted = AdaBoostClassifier(n_estimators=4).fit(X, LABELS)
    assert count_parameters(weighted) == of_trees(weighted.estimators_, K) + len(weighted.estimators_)


def test_many_members_share_rows_and_few_do_not():
    few = BaggingRegressor(Ridge(), 10).fit(X, TARGET)
    many = BaggingRegressor(Ridge(), 11).fit(X, TARGET)
    places = [(row.path, row.name) for row in model_parameters(few).itertuples()]
    assert places == [(f"estimators_[{i}]", name) for i in range(10) for name in ("coef_", "intercept_")]
    frame = model_parameters(many).set_index("name")
    assert frame["count"].to_dict() == {"coef_": 11 * D, "intercept_": 11}
    assert frame.loc["coef_", "shape"] == (11, D)
    assert frame.loc["coef_", "path"] == "estimators_[0..10]"
    assert frame.loc["coef_", "minimum"] == min(ridge.coef_.min() for ridge in many.estimators_)


def test_sparse_and_text():
    pipe = make_pipeline(TfidfVectorizer(), KNeighborsClassifier()).fit(TEXTS, LABELS)
    remembered = pipe[-1]._fit_X
    n_terms = len(pipe[0].vocabulary_)
    assert count_parameters(pipe) == 2 * n_terms + remembered.nnz + N
    frame = model_parameters(pipe).set_index("name")
    assert math.isnan(frame.loc["vocabulary_", "minimum"])
    assert frame.loc["_fit_X", "meaning"] == "remembered training rows"


# --- what scikit-learn does not know ---


class Tensor(SimpleNamespace):
    def numel(self):
        return self.data.size

    def detach(self):
        return self

    def cpu(self):
        return self

    def numpy(self):
        return self.data

    @property
    def shape(self):
        return self.data.shape


class Net(BaseEstimator):
    """As skorch's, with a module like torch's."""

    def fit(self, X, y=None):
        layers = {"0.weight": np.ones((3, D)), "0.bias": np.zeros(3), "frozen": np.ones(99)}
        tensors = [(name, Tensor(data=data, requires_grad=name != "frozen")) for name, data in layers.items()]
        self.module_ = SimpleNamespace(named_parameters=lambda: iter(tensors))
        self.history_ = [{"loss": 1.0}] * 9
        return self


class Own:
    """As simple as an estimator can be."""

    def fit(self, X, y=None):
        self.slope_ = np.ones(3)
        self.table_ = {"a": 1.5, "b": np.ones((2, 2)), "note": "text"}
        self.rates_ = [0.1, 0.2]
        self.slope_again_ = self.slope_.reshape(3, 1)
        self.inner_ = {"ridge": Ridge().fit(X, TARGET)}
        self.itself_ = self
        self.n_iter_ = 3
        self.kind_ = "own"
        self._hidden_ = np.ones(1000)
        return self


def test_a_torch_module():
    net = Net().fit(X)
    frame = model_parameters(make_pipeline(StandardScaler(), net).fit(X))
    assert frame["name"].tolist() == ["mean_", "scale_", "0.weight", "0.bias"]
    assert frame["shape"].tolist()[2:] == [(3, D), (3,)]
    assert frame["maximum"].tolist()[2:] == [1, 0]
    assert count_parameters(net) == 3 * D + 3


def test_an_unknown_estimator_by_its_public_fitted_attributes():
    own = Own().fit(X)
    assert count_parameters(own) == 3 + 1 + 4 + 2 + D + 1
    frame = model_parameters(own)
    assert frame["name"].tolist() == ["slope_", "table_[a]", "table_[b]", "rates_", "coef_", "intercept_"]
    assert frame.loc[0, "meaning"] == "fitted attribute of Own"


def test_what_nothing_is_known_of():
    class Hostile:
        @property
        def n_features_in_(self):
            raise RuntimeError("no")

        get_support = None

    for thing in (Ridge(), Own(), object(), None, 3, Ridge, "text", Hostile(), make_pipeline(Ridge())):
        assert count_parameters(thing) is None
    with pytest.raises(InvalidOption, match="Ridge holds no model parameters: give an estimator after fit"):
        model_parameters(Ridge())
    assert hpo.model_parameters is model_parameters


def test_names_of_classes_can_be_given_and_names_do_not_change_the_count():
    model = trained(LogisticRegression(), IRIS.data, IRIS.target)
    frame = model_parameters(model, class_names=IRIS.target_names)
    assert frame.loc[0, "classes"] == tuple(IRIS.target_names)
    assert model_parameters(model, feature_names=range(4)).loc[0, "features"] == ("0", "1", "2", "3")
    assert frame["count"].sum() == count_parameters(model) == 3 * 5


# --- equations ---


def predicted(text, rows):
    """What an equation says of rows, read as arithmetic."""
    total = np.zeros(len(rows))
    tokens = text.replace("= -", "= - ").replace("- ", "-").replace("+ ", "+").split(" = ")[1].split()
    number = None
    for token in tokens:
        if token[-1].isdigit() and not token.startswith("x"):
            if number is not None:
                total += number
            number = float(token)
        else:
            total += number * rows[:, int(token[1:])]
            number = None
    return total + (number or 0.0)


SCALERS = (
    None, StandardScaler(), MinMaxScaler(), MaxAbsScaler(), RobustScaler(), StandardScaler(with_mean=False),
    RobustScaler(with_centering=False),
)  # fmt: skip


@pytest.mark.parametrize("scaler", SCALERS, ids=str)
def test_an_equation_predicts_what_its_model_does_from_raw_values(scaler):
    pipe = make_pipeline(*([scaler] if scaler else []), LinearRegression()).fit(10 * X + 3, TARGET)
    text = equation(pipe)
    assert predicted(text, 10 * X + 3) == pytest.approx(pipe.predict(10 * X + 3), abs=0.05)


@pytest.mark.parametrize("model", [LogisticRegression(), LinearSVC(), SVC(kernel="linear"), RidgeClassifier()], ids=str)
def test_an_equation_of_a_classifier_is_its_decision(model):
    pipe = make_pipeline(StandardScaler(), model).fit(X, LABELS == "b")
    assert "of True = " in (text := equation(pipe))
    assert predicted(text, X) == pytest.approx(pipe.decision_function(X), abs=0.01)


def test_equations_as_they_are_written():
    rows = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    exact = LinearRegression().fit(pd.DataFrame(rows, columns=["bmi", "bp"]), rows @ [0.5, -0.25] + 3)
    assert equation(exact, target="progress") == "progress = 0.5 bmi - 0.25 bp + 3"
    assert equation(exact, ["p", "q"]) == "y = 0.5 p - 0.25 q + 3"
    two = LinearRegression().fit(rows, rows @ [[0, -2], [1, 0]])
    assert [line.split(" = ")[0] for line in equation(two).splitlines()] == ["y[0]", "y[1]"]
    assert equation(Lasso(99).fit(X, TARGET - TARGET.mean())).count("x") == 0  # weights of zero
    assert equation(PoissonRegressor().fit(X, np.exp(TARGET / 9))).startswith("log(y) = ")
    assert equation(LogisticRegression().fit(X, LABELS == "a")).startswith("log odds of True = ")
    assert equation(LogisticRegression().fit(X, LABELS)).count("score of ") == K
    assert equation(SVR(kernel="linear").fit(X, TARGET)).startswith("y = ")
    made = equation(make_pipeline(PolynomialFeatures(2), StandardScaler(), Ridge()).fit(X, TARGET))
    assert "x0 x1" in made
    assert made.endswith("(the features as PolynomialFeatures makes them)")


@pytest.mark.parametrize("model", [SVR(), GaussianNB(), DecisionTreeRegressor(), SVC(kernel="linear")], ids=str)
def test_what_is_no_linear_model_has_no_equation(model):
    assert equation(model.fit(X, LABELS if is_classifier(model) else TARGET)) is None
    assert equation(Ridge()) is None
