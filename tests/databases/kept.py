"""The studies and searches whose stored runs every later version must open, resume and compare.

Do not change what is defined here: the databases beside this file were made with it. Add new definitions instead.
"""

import numpy as np
from scipy import stats
from sklearn.datasets import load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import hpo

OFFSET = 2


class Shifted(StandardScaler):
    """A transformer of the user's own, with a method behind a property."""

    def transform(self, X):
        return super().transform(X) + OFFSET

    @property
    def offset(self):
        return OFFSET


def leaf(params):
    return max(1, int(params["leaf"]))


def build(params):
    tree = DecisionTreeClassifier(min_samples_leaf=leaf(params), random_state=0)
    return make_pipeline(params["scale"], tree)


TREE = hpo.StudyDefinition(
    name="kept-tree",
    data=load_wine,
    estimator=DecisionTreeClassifier(),
    space={
        "criterion": hpo.Categorical(["gini", "entropy"]),
        "max_depth": hpo.Int(1, 6, grid=3),
        "min_samples_leaf": hpo.Int(1, 20, log=True, grid=2),
        "ccp_alpha": hpo.Float(0.0, 0.1, grid=2, when={"criterion": "gini"}),
    },
    metric="neg_brier_score",
    split=hpo.CrossValidation(folds=3, test=0.25),
    margin=0.01,
)

BUILT = hpo.StudyDefinition(
    name="kept-built",
    data=lambda: load_iris(as_frame=True),
    estimator=build,
    space={
        "leaf": hpo.Float(1, 30, log=True),
        "scale": hpo.Categorical({"shifted": Shifted(), "ranged": MinMaxScaler(), "none": FunctionTransformer()}),
    },
    reference={"leaf": 1, "scale": "none"},
    metric="accuracy",
    extra_metrics=["f1_macro"],
    split=hpo.Holdout(validation=0.3, test=0.2),
    start=[{"leaf": 5, "scale": "ranged"}],
)

DRAWN = hpo.StudyDefinition(
    name="kept-drawn",
    data=load_iris,
    estimator=LogisticRegression(max_iter=500),
    space={"C": stats.lognorm(1.0), "tol": stats.loguniform(1e-5, 1e-3), "fit_intercept": [True, False]},
    metric="neg_log_loss",
    split=hpo.CrossValidation(folds=2, test=0.2),
)

STUDIES = {study.name: study for study in (TREE, BUILT, DRAWN)}


def searches(database, n_extra=0):
    """Unfitted searches by name; ``n_extra`` more candidates than were stored."""
    X, y = load_wine(return_X_y=True)
    tree = DecisionTreeClassifier(random_state=0)
    scaled = make_pipeline(StandardScaler(), DecisionTreeClassifier(random_state=0))
    kept = {
        "grid": hpo.SearchCV(
            tree,
            {"max_depth": [1, 2, 3], "criterion": ["gini", "entropy"]},
            sampler="grid",
            cv=3,
            random_state=0,
            database=database,
        ),
        "random": hpo.SearchCV(
            tree,
            {"max_depth": stats.randint(1, 9), "ccp_alpha": stats.uniform(0, 0.1)},
            sampler="random",
            n_trials=5 + n_extra,
            cv=StratifiedKFold(3, shuffle=True, random_state=1),
            random_state=3,
            database=database,
            name="drawn",
        ),
        "tpe": hpo.SearchCV(
            scaled,
            {
                "standardscaler__with_mean": hpo.Categorical([True, False]),
                "decisiontreeclassifier__max_depth": hpo.Int(1, 8),
            },
            sampler="tpe",
            n_trials=12 + n_extra,
            cv=3,
            random_state=0,
            scoring="neg_brier_score",
            database=database,
            name="learning",
        ),
        "objects": hpo.SearchCV(
            scaled,
            {
                "standardscaler": [StandardScaler(), MinMaxScaler(), "passthrough"],
                "decisiontreeclassifier__max_depth": [2, 4],
            },
            sampler="grid",
            cv=3,
            random_state=0,
            database=database,
            name="objects",
        ),
    }
    return kept, X, y


def table(values):
    """Scores to compare: rounded, as other machines round otherwise."""
    return [None if value is None or np.isnan(value) else round(float(value), 9) for value in values]
