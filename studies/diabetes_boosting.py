"""Tune gradient boosting that predicts how diabetes has progressed after a year (442 patients).

What is tuned: how many trees, how much each one adds (``learning_rate``), how complex a tree may be
(``max_depth``, ``min_samples_leaf``), how much of the data each tree sees (``subsample`` of the patients,
``max_features`` of the measurements), and the loss. ``alpha`` exists for huber alone: errors beyond that
quantile count as outliers.

What to look for: ``learning_rate`` and ``n_estimators`` work together, as half the rate needs about twice the trees.
Where their product is below 0.1 the model predicts little but the mean (r2 near 0); the good ones lie between 1 and
10; beyond, it overfits. Once that is right the rest matters less: trees of a single question (``max_depth`` 1) do as
well as deep ones.

The loss is what the trees minimise in training; the metric, r2, is what is wanted of the model. They need not agree.
"""

from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor

import hpo
from hpo import Categorical, CrossValidation, Float, Int, SearchSpace, StudyDefinition

study = StudyDefinition(
    name="diabetes-boosting",
    data=load_diabetes,
    estimator=GradientBoostingRegressor(),
    space=SearchSpace(
        {
            "loss": Categorical(["squared_error", "absolute_error", "huber"]),
            "alpha": Float(0.5, 0.99, when={"loss": "huber"}),
            "learning_rate": Float(1e-3, 1.0, log=True),
            "n_estimators": Int(10, 150, log=True),
            "max_depth": Int(1, 5),
            "min_samples_leaf": Int(1, 50, log=True),
            "subsample": Float(0.3, 1.0),
            "max_features": Float(0.1, 1.0),
        }
    ),
    metric="r2",
    extra_metrics=["neg_root_mean_squared_error"],
    split=CrossValidation(folds=5, test=0.2),
)

if __name__ == "__main__":
    hpo.main(study)
