"""Problems for samplers: search spaces over scikit-learn's estimators and data sets, cheap to evaluate.

A problem belongs to a class by what makes it hard: ``smooth``, ``rough`` (chance has a part in every score),
``branching`` (conditional hyperparameters), ``finite``, ``failing`` (about a third of the space raises), ``many``
(twenty or more hyperparameters, of which few matter). No sampler was tuned on them.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.base import is_classifier
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingRegressor, HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, DotProduct, Matern, RationalQuadratic
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, QuantileTransformer, StandardScaler
from sklearn.svm import SVR, NuSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from hpo import Categorical, Float, Int, SearchSpace

Parameters = dict[str, Any]
Data = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Problem:
    """What is searched, and how a configuration scores.

    Attributes:
        kind: its class.
        space: what is searched.
        data: rows and target.
        build: active hyperparameters -> estimator.
    """

    kind: str
    space: SearchSpace
    data: Data
    build: Callable[[Parameters], Any]

    def score(self, parameters: Parameters) -> float | None:
        """Mean over three folds of r2, or of log loss with a minus; higher is better; None where a fit fails."""
        X, y = self.data
        scores = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model = self.build(parameters)
                folds = (StratifiedKFold if is_classifier(model) else KFold)(3, shuffle=True, random_state=0)
                for train, test in folds.split(X, y):
                    model.fit(X[train], y[train])
                    if is_classifier(model):
                        scores.append(-log_loss(y[test], model.predict_proba(X[test]), labels=np.unique(y)))
                    else:
                        scores.append(r2_score(y[test], model.predict(X[test])))
            except (ValueError, ArithmeticError):
                return None
        value = float(np.mean(scores))
        return value if np.isfinite(value) else None


def some_rows(data: Data, n: int) -> Data:
    """``n`` rows of a data set, its features standardised, and its target where that is no class."""
    X, y = data
    chosen = np.random.default_rng(17).permutation(len(X))[:n]
    X, y = StandardScaler().fit_transform(X[chosen]), y[chosen]
    return X, (y - y.mean()) / y.std() if y.dtype.kind == "f" else y


def diabetes() -> Data:
    """Disease progression."""
    return some_rows(datasets.load_diabetes(return_X_y=True), 200)


def cancer() -> Data:
    """Malignant or benign."""
    return some_rows(datasets.load_breast_cancer(return_X_y=True), 200)


def digits() -> Data:
    """Images of 8 x 8 pixels."""
    return some_rows(datasets.load_digits(return_X_y=True), 250)


def wine() -> Data:
    """Three cultivars, a tenth of them mislabelled, so that there is something to lose."""
    X, y = some_rows(datasets.load_wine(return_X_y=True), 178)
    rng = np.random.default_rng(5)
    return X, np.where(rng.random(len(y)) < 0.1, rng.integers(0, 3, len(y)), y)


def waves(n_features: int = 10) -> Data:
    """A function of four features; the others are chance."""
    rng = np.random.default_rng(11)
    X = rng.uniform(-1, 1, (150, n_features))
    y = np.sin(3 * X[:, 0]) * X[:, 1] + np.abs(X[:, 2]) - X[:, 3] ** 2 + rng.normal(0, 0.15, len(X))
    return some_rows((X, y), len(X))


def fourier_ridge() -> Problem:
    """Ridge regression on random Fourier features."""
    space = {
        "gamma": Float(1e-4, 1e2, log=True),
        "alpha": Float(1e-6, 1e4, log=True),
        "n_components": Int(4, 120, log=True),
        "degree": Int(1, 2),
    }
    return Problem(
        "smooth", SearchSpace(space), waves(),
        lambda p: make_pipeline(
            PolynomialFeatures(p["degree"], include_bias=False),
            RBFSampler(gamma=p["gamma"], n_components=p["n_components"], random_state=0),
            Ridge(p["alpha"]),
        ),
    )  # fmt: skip


def logistic_digits() -> Problem:
    """Logistic regression on principal components."""
    space = {
        "n_components": Int(2, 50, log=True),
        "whiten": Categorical([True, False]),
        "C": Float(1e-5, 1e3, log=True),
        "intercept_scaling": Float(0.1, 10, log=True),
        "class_weight": Categorical(["balanced", None]),
    }
    return Problem(
        "smooth", SearchSpace(space), digits(),
        lambda p: make_pipeline(
            PCA(p["n_components"], whiten=p["whiten"], random_state=0),
            LogisticRegression(
                C=p["C"], intercept_scaling=p["intercept_scaling"], class_weight=p["class_weight"], max_iter=30
            ),
        ),
    )  # fmt: skip


def forest_diabetes() -> Problem:
    """A random forest of few trees."""
    space = {
        "n_estimators": Int(3, 20, log=True),
        "max_features": Float(0.1, 1.0),
        "min_samples_leaf": Int(1, 40, log=True),
        "max_depth": Int(1, 12),
        "max_samples": Float(0.2, 1.0),
        "ccp_alpha": Float(1e-5, 1e-1, log=True),
    }
    return Problem(
        "rough", SearchSpace(space), diabetes(), lambda p: RandomForestRegressor(random_state=0, **p)
    )  # fmt: skip


def boosting_wine() -> Problem:
    """Gradient boosting of a few small trees, with columns drawn at random."""
    space = {
        "learning_rate": Float(1e-2, 1.0, log=True),
        "max_iter": Int(3, 25, log=True),
        "max_leaf_nodes": Int(2, 16, log=True),
        "min_samples_leaf": Int(1, 40, log=True),
        "l2_regularization": Float(1e-5, 1e2, log=True),
        "max_features": Float(0.1, 1.0),
    }
    return Problem(
        "rough", SearchSpace(space), wine(),
        lambda p: HistGradientBoostingClassifier(random_state=0, early_stopping=False, max_bins=32, **p),
    )  # fmt: skip


def network_wine() -> Problem:
    """A perceptron trained for a few epochs."""
    space = {
        "width": Int(2, 40, log=True),
        "alpha": Float(1e-6, 10.0, log=True),
        "learning_rate_init": Float(1e-4, 1.0, log=True),
        "batch_size": Int(8, 64, log=True),
        "activation": Categorical(["relu", "tanh", "logistic"]),
        "solver": Categorical(["sgd", "adam"]),
        "momentum": Float(0.3, 0.99, when={"solver": "sgd"}),
        "beta_2": Float(0.8, 0.9999, when={"solver": "adam"}),
    }

    def build(p: Parameters) -> Any:
        others = {name: value for name, value in p.items() if name != "width"}
        return MLPClassifier((p["width"],), max_iter=8, random_state=0, **others)

    return Problem("rough", SearchSpace(space), wine(), build)


def classifiers_cancer() -> Problem:
    """Which of five classifiers, each with its own hyperparameters."""
    space = {
        "model": Categorical(["bayes", "discriminant", "logistic", "neighbors", "tree"]),
        "var_smoothing": Float(1e-9, 1e1, log=True, when={"model": "bayes"}),
        "shrinkage": Float(0.0, 1.0, when={"model": "discriminant"}),
        "C": Float(1e-5, 1e4, log=True, when={"model": "logistic"}),
        "degree": Int(1, 2, when={"model": "logistic"}),
        "n_neighbors": Int(1, 80, log=True, when={"model": "neighbors"}),
        "p": Float(1.0, 3.0, when={"model": "neighbors"}),
        "max_depth": Int(1, 10, when={"model": "tree"}),
        "min_samples_leaf": Int(1, 50, log=True, when={"model": "tree"}),
    }

    def build(p: Parameters) -> Any:
        if p["model"] == "bayes":
            return GaussianNB(var_smoothing=p["var_smoothing"])
        if p["model"] == "discriminant":
            return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=p["shrinkage"])
        if p["model"] == "logistic":
            classifier = LogisticRegression(C=p["C"], max_iter=40)
            return classifier if p["degree"] == 1 else make_pipeline(PolynomialFeatures(2), PCA(30), classifier)
        if p["model"] == "neighbors":
            return KNeighborsClassifier(p["n_neighbors"], p=p["p"])
        return DecisionTreeClassifier(
            max_depth=p["max_depth"], min_samples_leaf=p["min_samples_leaf"], random_state=0
        )  # fmt: skip

    return Problem("branching", SearchSpace(space), cancer(), build)


def processes_waves() -> Problem:
    """A Gaussian process under one of four kernels, which have hyperparameters of their own."""
    space = {
        "kernel": Categorical(["rbf", "matern", "rational", "linear"]),
        "noise": Float(1e-6, 1e1, log=True),
        "length": Float(1e-2, 1e2, log=True, when={"kernel": ["rbf", "matern", "rational"]}),
        "nu": Categorical([0.5, 1.5, 2.5], when={"kernel": "matern"}),
        "mixture": Float(1e-2, 1e2, log=True, when={"kernel": "rational"}),
        "sigma": Float(1e-3, 1e2, log=True, when={"kernel": "linear"}),
        "power": Int(1, 4, when={"kernel": "linear"}),
    }

    def build(p: Parameters) -> Any:
        kernel = {
            "rbf": lambda: RBF(p["length"]),
            "matern": lambda: Matern(p["length"], nu=p["nu"]),
            "rational": lambda: RationalQuadratic(p["length"], p["mixture"]),
            "linear": lambda: DotProduct(p["sigma"]) ** p["power"],
        }[p["kernel"]]()
        return GaussianProcessRegressor(kernel, alpha=p["noise"], optimizer=None)

    return Problem("branching", SearchSpace(space), waves(), build)


def regressors_diabetes() -> Problem:
    """A regressor whose kind has kinds of its own."""
    space = {
        "kind": Categorical(["linear", "local", "vector"]),
        "penalty": Categorical(["ridge", "elastic"], when={"kind": "linear"}),
        "ridge_alpha": Float(1e-4, 1e4, log=True, when={"penalty": "ridge"}),
        "elastic_alpha": Float(1e-4, 1e1, log=True, when={"penalty": "elastic"}),
        "l1_ratio": Float(0.0, 1.0, when={"penalty": "elastic"}),
        "local": Categorical(["neighbors", "tree"], when={"kind": "local"}),
        "n_neighbors": Int(1, 80, log=True, when={"local": "neighbors"}),
        "max_depth": Int(1, 10, when={"local": "tree"}),
        "min_samples_leaf": Int(1, 60, log=True, when={"local": "tree"}),
        "kernel": Categorical(["rbf", "sigmoid"], when={"kind": "vector"}),
        "C": Float(1e-3, 1e3, log=True, when={"kind": "vector"}),
        "gamma": Float(1e-5, 1e1, log=True, when={"kind": "vector"}),
        "coef0": Float(-2, 2, when={"kernel": "sigmoid"}),
    }

    def build(p: Parameters) -> Any:
        if p["kind"] == "vector":
            return SVR(kernel=p["kernel"], C=p["C"], gamma=p["gamma"], coef0=p.get("coef0", 0.0), max_iter=2000)
        if p["kind"] == "local":
            if p["local"] == "neighbors":
                return KNeighborsRegressor(p["n_neighbors"])
            return DecisionTreeRegressor(
                max_depth=p["max_depth"], min_samples_leaf=p["min_samples_leaf"], random_state=0
            )  # fmt: skip
        if p["penalty"] == "ridge":
            return Ridge(p["ridge_alpha"])
        return ElasticNet(alpha=p["elastic_alpha"], l1_ratio=p["l1_ratio"], max_iter=200)

    return Problem("branching", SearchSpace(space), diabetes(), build)


def neighbors_digits() -> Problem:
    """Nearest neighbours, 1,008 configurations."""
    space = {
        "n_neighbors": Int(1, 28),
        "weights": Categorical(["uniform", "distance"]),
        "p": Categorical([1, 2]),
        "n_components": Categorical([5, 10, 20]),
        "shape": Categorical(["as it is", "normal", "uniform"]),
    }

    def build(p: Parameters) -> Any:
        steps = [PCA(p["n_components"], random_state=0)]
        if p["shape"] != "as it is":
            steps.append(QuantileTransformer(n_quantiles=50, output_distribution=p["shape"], random_state=0))
        return make_pipeline(*steps, KNeighborsClassifier(p["n_neighbors"], weights=p["weights"], p=p["p"]))

    return Problem("finite", SearchSpace(space), digits(), build)


def tree_wine() -> Problem:
    """A decision tree, 6,000 configurations."""
    space = {
        "max_depth": Int(1, 10),
        "min_samples_leaf": Int(1, 40),
        "criterion": Categorical(["gini", "entropy", "log_loss"]),
        "max_features": Float(0.2, 1.0, step=0.2),
    }
    return Problem("finite", SearchSpace(space), wine(), lambda p: DecisionTreeClassifier(random_state=0, **p))


def discriminant_digits() -> Problem:
    """Linear discriminants, whose solvers refuse some shrinkages and dimensions."""
    space = {
        "solver": Categorical(["svd", "lsqr", "eigen"]),
        "shrinkage": Float(-1.0, 1.0),
        "n_components": Int(2, 60),
        "quantiles": Int(2, 100, log=True),
        "tol": Float(1e-6, 1e-1, log=True),
    }

    def build(p: Parameters) -> Any:
        shrinkage = None if p["solver"] == "svd" else p["shrinkage"]
        return make_pipeline(
            QuantileTransformer(n_quantiles=p["quantiles"], random_state=0),
            PCA(p["n_components"], random_state=0),
            LinearDiscriminantAnalysis(solver=p["solver"], shrinkage=shrinkage, tol=p["tol"]),
        )

    return Problem("failing", SearchSpace(space), digits(), build)


def nu_waves() -> Problem:
    """A support vector machine on a transformed target; some transformations have no value at some rows."""
    space = {
        "nu": Float(0.01, 1.0),
        "C": Float(1e-3, 1e4, log=True),
        "gamma": Float(1e-4, 1e1, log=True),
        "shift": Float(0.0, 2.0),
        "transform": Categorical(["as it is", "log", "root"]),
    }

    def build(p: Parameters) -> Any:
        bend = {
            "as it is": FunctionTransformer(),
            "log": FunctionTransformer(lambda X: np.log(X + p["shift"] + 0.8)),
            "root": FunctionTransformer(lambda X: np.sqrt(X + p["shift"] + 0.6)),
        }[p["transform"]]
        return make_pipeline(bend, NuSVR(nu=p["nu"], C=p["C"], gamma=p["gamma"], max_iter=3000))

    return Problem("failing", SearchSpace(space), waves(), build)


def weighted_neighbors() -> Problem:
    """Nearest neighbours with a weight for each of twenty features, of which four matter."""
    space = {f"weight_{i:02}": Float(0.0, 1.0) for i in range(20)} | {"n_neighbors": Int(1, 30, log=True)}

    def build(p: Parameters) -> Any:
        weights = np.array([p[f"weight_{i:02}"] for i in range(20)])
        return make_pipeline(FunctionTransformer(lambda X: X * weights), KNeighborsRegressor(p["n_neighbors"]))

    return Problem("many", SearchSpace(space), waves(20), build)


def bagged_everything() -> Problem:
    """Bagged trees with every knob there is, and a switch for each of ten features."""
    space = {
        "n_estimators": Int(2, 12, log=True),
        "max_samples": Float(0.2, 1.0),
        "max_features": Float(0.3, 1.0),
        "bootstrap": Categorical([True, False]),
        "max_depth": Int(1, 12),
        "min_samples_leaf": Int(1, 30, log=True),
        "min_samples_split": Int(2, 40, log=True),
        "min_impurity_decrease": Float(1e-6, 1e-1, log=True),
        "ccp_alpha": Float(1e-6, 1e-1, log=True),
        "max_leaf_nodes": Int(4, 128, log=True),
        **{f"feature_{i}": Categorical([True, False]) for i in range(10)},
    }
    bag = ("n_estimators", "max_samples", "max_features", "bootstrap")

    def build(p: Parameters) -> Any:
        kept = np.array([p[f"feature_{i}"] for i in range(10)], float)
        tree = {name: value for name, value in p.items() if name not in bag and not name.startswith("feature")}
        return make_pipeline(
            FunctionTransformer(lambda X: X * kept),
            BaggingRegressor(
                DecisionTreeRegressor(random_state=0, **tree), random_state=0, **{name: p[name] for name in bag}
            ),
        )

    return Problem("many", SearchSpace(space), diabetes(), build)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    made.__name__.replace("_", "-"): made
    for made in (
        fourier_ridge, logistic_digits, forest_diabetes, boosting_wine, network_wine, classifiers_cancer,
        processes_waves, regressors_diabetes, neighbors_digits, tree_wine, discriminant_digits, nu_waves,
        weighted_neighbors, bagged_everything,
    )
}  # fmt: skip
