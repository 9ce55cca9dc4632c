"""Tune a logistic regression that tells malignant from benign tumours (569 patients, 30 measurements).

What is tuned: regularization. ``C`` is its inverse: the smaller, the more large coefficients cost, and the simpler the
model. The penalty says how they cost: ``l2`` by their squares, which shrinks all of them; ``l1`` by their absolute
values, which sets many to exactly 0; ``elasticnet`` by both, mixed by ``l1_ratio``.

What to look for: at C = 0.001 the model is hardly better than the share of benign tumours, at C = 100 it is certain of
its mistakes; in between the curve of the validation score against ``C`` has one hump, while the training score only
rises. ``hpo show`` prints the coefficient of each measurement by name, in log odds of a benign tumour: with ``l1`` a
handful of the thirty is left, and the score is as good.

The metric is the log loss, which sees how sure the model is of each patient: accuracy hardly moves from C = 0.1 to 10.
"""

from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hpo
from hpo import Categorical, CrossValidation, Float, SearchSpace, StudyDefinition

L1_RATIOS = {"l2": 0.0, "l1": 1.0}


def build(params):
    l1_ratio = params["l1_ratio"] if params["penalty"] == "elasticnet" else L1_RATIOS[params["penalty"]]
    # saga is the one solver for all penalties; where C is large it is stopped before it has converged.
    return make_pipeline(
        StandardScaler(), LogisticRegression(C=params["C"], l1_ratio=l1_ratio, solver="saga", tol=1e-3, max_iter=1000)
    )


study = StudyDefinition(
    name="breast-cancer-logistic",
    data=lambda: load_breast_cancer(as_frame=True),
    estimator=build,
    space=SearchSpace(
        {
            "C": Float(1e-3, 1e2, log=True),
            "penalty": Categorical(["l2", "l1", "elasticnet"]),
            "l1_ratio": Float(0.05, 0.95, when={"penalty": "elasticnet"}),
        }
    ),
    reference={"C": 1.0, "penalty": "l2"},  # scikit-learn's defaults
    metric="neg_log_loss",
    extra_metrics=["roc_auc"],
    split=CrossValidation(folds=5, test=0.2),
    margin=0.01,
)

if __name__ == "__main__":
    hpo.main(study)
