"""A pytest plugin: scikit-learn's own tests of its searches, with :class:`hpo.SearchCV` in the place of both."""

import numpy as np
import sklearn.model_selection
from sklearn.model_selection.tests import test_search

import hpo


class GridSearchCV(hpo.SearchCV):
    """Spelled as scikit-learn's."""

    def __init__(
        self, estimator, param_grid, *, scoring=None, n_jobs=None, refit=True, cv=None, verbose=0,
        pre_dispatch="2*n_jobs", error_score=np.nan, return_train_score=False,
    ):  # fmt: skip
        super().__init__(
            estimator, param_grid=param_grid, scoring=scoring, n_jobs=n_jobs, refit=refit, cv=cv, verbose=verbose,
            pre_dispatch=pre_dispatch, error_score=error_score, return_train_score=return_train_score,
        )  # fmt: skip


class RandomizedSearchCV(hpo.SearchCV):
    """Spelled as scikit-learn's."""

    def __init__(
        self, estimator, param_distributions, *, n_iter=10, scoring=None, n_jobs=None, refit=True, cv=None, verbose=0,
        pre_dispatch="2*n_jobs", random_state=None, error_score=np.nan, return_train_score=False,
    ):  # fmt: skip
        super().__init__(
            estimator, param_distributions=param_distributions, sampler="random", n_iter=n_iter, scoring=scoring,
            n_jobs=n_jobs, refit=refit, cv=cv, verbose=verbose, random_state=random_state, error_score=error_score,
            pre_dispatch=pre_dispatch, return_train_score=return_train_score,
        )  # fmt: skip


OURS = {"GridSearchCV": GridSearchCV, "RandomizedSearchCV": RandomizedSearchCV}
THEIRS = {getattr(sklearn.model_selection, name): ours for name, ours in OURS.items()}
for name, ours in OURS.items():
    setattr(test_search, name, ours)


def pytest_collection_modifyitems(items):
    """Replace the classes that were parameters before they could be replaced by name."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        for name, value in parameters.items():
            if isinstance(value, type):
                parameters[name] = THEIRS.get(value, value)
