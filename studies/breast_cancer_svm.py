"""Tune a support vector machine that tells malignant from benign tumours (569 patients, 30 measurements).

What to look for: the kernel decides which other hyperparameters exist. ``gamma`` (how far a training
patient's influence reaches) is there for rbf and poly, ``degree`` for poly alone. ``C`` trades a wide
margin against few training errors: too small underfits, too large overfits.
"""

from sklearn.datasets import load_breast_cancer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import hpo
from hpo import Categorical, CrossValidation, Float, Int, SearchSpace, StudyDefinition

study = StudyDefinition(
    name="breast-cancer-svm",
    data=load_breast_cancer,
    estimator=make_pipeline(StandardScaler(), SVC()),
    space=SearchSpace(
        {
            "svc__kernel": Categorical(["linear", "rbf", "poly"]),
            "svc__C": Float(1e-3, 1e3, log=True),
            "svc__gamma": Float(1e-5, 1e1, log=True, when={"svc__kernel": ["rbf", "poly"]}),
            "svc__degree": Int(2, 4, when={"svc__kernel": "poly"}),
        }
    ),
    metric="roc_auc",
    extra_metrics=["balanced_accuracy"],
    split=CrossValidation(folds=5, test=0.2),
)

if __name__ == "__main__":
    hpo.main(study)
