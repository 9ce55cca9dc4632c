"""Tune a decision tree that tells three cultivars of wine apart, some of them labelled wrongly (178 wines).

What is tuned: how far the tree may grow. ``max_depth`` limits its questions in a row, ``min_samples_leaf`` the wines on
which a prediction may rest, and ``ccp_alpha`` prunes: it cuts branches that separate less than they cost.
``criterion`` is what the tree minimises when it chooses a question.

What to look for: underfit to overfit. A tree of one question cannot tell three cultivars apart (it underfits:
training and validation score are both poor). The reference grows until every training wine is right, learns the wrong
labels by heart, and is certain of its mistakes (it overfits: a perfect training score, a bad validation score). Set
``NOISE`` to 0 and the full-grown tree does nearly as well as a pruned one; the more labels are wrong, the smaller is
the best tree. ``hpo show`` counts what it has learned: its nodes, its leaves and its depth.

The Brier score is the mean squared error of the predicted probabilities, from 0 to 2; no better than 0.24 can be
expected here, because the validation wines carry wrong labels too.
"""

import numpy as np
from sklearn.datasets import load_wine
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo import Categorical, CrossValidation, Float, Int, SearchSpace, StudyDefinition

NOISE = 0.15  # share of the wines whose label is drawn anew from the other two


def load_mislabelled():
    X, y = load_wine(return_X_y=True, as_frame=True)
    rng = np.random.default_rng(0)
    wrong = rng.random(len(y)) < NOISE
    return X, y.where(~wrong, (y + rng.integers(1, 3, len(y))) % 3)


study = StudyDefinition(
    name="wine-tree",
    data=load_mislabelled,
    estimator=DecisionTreeClassifier(),
    space=SearchSpace(
        {
            "max_depth": Int(1, 12),
            "min_samples_leaf": Int(1, 30, log=True),
            "ccp_alpha": Float(1e-4, 1e-1, log=True),
            "criterion": Categorical(["gini", "entropy"]),
        }
    ),
    metric="neg_brier_score",
    extra_metrics=["accuracy"],
    split=CrossValidation(folds=5, test=0.2),
    margin=0.01,
)

if __name__ == "__main__":
    hpo.main(study)
