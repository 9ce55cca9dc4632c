"""Tune a support vector machine that tells malignant from benign tumours (569 patients).

What is tuned: the kernel, and what belongs to it. ``C`` trades a wide margin against few training errors:
too small underfits, too large overfits. ``gamma`` (how far a training patient's influence reaches) exists for
rbf and poly, ``degree`` for poly alone: the kernel decides which other hyperparameters there are.

What to look for: ``C`` and ``gamma`` work together. With rbf and C=1, gamma=0.1 is among the best; with C=100 it
overfits, and 0.01 to 0.03 is best of all: tuning one after the other can miss it. A polynomial of degree 2 or 4 alone
cannot tell a large tumour from a small one: (-x)**2 == x**2.

Only the ten mean measurements of each tumour are used. With all thirty, every sensible machine reaches
ROC AUC 0.997, and what is left to tune is a handful of pairs of patients.
"""

from sklearn.datasets import load_breast_cancer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import hpo
from hpo import Categorical, CrossValidation, Float, Int, SearchSpace, StudyDefinition


def load_means():
    X, y = load_breast_cancer(return_X_y=True)
    return X[:, :10], y


study = StudyDefinition(
    name="breast-cancer-svm",
    data=load_means,
    estimator=make_pipeline(StandardScaler(), SVC()),
    space=SearchSpace(
        {
            "svc__kernel": Categorical(["linear", "rbf", "poly"]),
            "svc__C": Float(1e-2, 1e2, log=True),
            "svc__gamma": Float(1e-4, 1e0, log=True, when={"svc__kernel": ["rbf", "poly"]}),
            "svc__degree": Int(2, 4, when={"svc__kernel": "poly"}),
        }
    ),
    metric="roc_auc",
    extra_metrics=["balanced_accuracy"],
    split=CrossValidation(folds=5, test=0.2),
)

if __name__ == "__main__":
    hpo.main(study)
