"""Tune the linear regression y = w.x + b that predicts how diabetes has progressed after a year (442 patients).

What is tuned: how the weights are found. ``plain`` is least squares and has nothing to tune. ``elastic net`` adds a
penalty of strength ``alpha`` on large weights, which ``l1_ratio`` mixes: 0 shrinks all of them (ridge), 1 sets some to
exactly 0 (lasso). ``sgd`` minimises the same step by step, one patient at a time, and adds what a step needs: the
learning rate ``eta0``, at most ``max_iter`` epochs, and the loss function: ``huber`` counts errors above ``epsilon``
(30 points) in proportion, instead of squared.

What to look for: the weight of each measurement and the intercept b, which ``hpo show`` prints by name, as the
equation in the measurements' own units. s1 and s2 (total cholesterol and LDL) are nearly the same: plain least squares
gives them large weights of opposite sign, a penalty small ones; it is about as good with a few weights at 0. Too large
an ``alpha`` predicts the mean for everybody (an error of 77). With sgd, too small a learning rate is not there after
``max_iter`` epochs, too large a one explodes: those trials are terrible, or fail.
"""

from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet, LinearRegression, SGDRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import hpo
from hpo import Categorical, CrossValidation, Float, Int, SearchSpace, StudyDefinition

METHODS = {
    "plain": LinearRegression(),
    "elastic net": ElasticNet(),
    "sgd": SGDRegressor(penalty="elasticnet", epsilon=30),
}

study = StudyDefinition(
    name="diabetes-linear",
    data=lambda: load_diabetes(as_frame=True, scaled=False),
    # The reference is this pipeline as it stands: plain least squares.
    estimator=Pipeline([("scale", StandardScaler()), ("model", LinearRegression())]),
    space=SearchSpace(
        {
            "model": Categorical(METHODS),
            "model__alpha": Float(1e-3, 1e1, log=True, when={"model": ["elastic net", "sgd"]}),
            "model__l1_ratio": Float(0.0, 1.0, when={"model": ["elastic net", "sgd"]}),
            "model__loss": Categorical(["squared_error", "huber"], when={"model": "sgd"}),
            "model__eta0": Float(1e-5, 1e-1, log=True, when={"model": "sgd"}),
            "model__max_iter": Int(5, 500, log=True, when={"model": "sgd"}),
        }
    ),
    metric="neg_root_mean_squared_error",
    extra_metrics=["r2"],
    split=CrossValidation(folds=5, test=0.2),
    margin=0.5,  # of a score that goes from 25 to 346
)

if __name__ == "__main__":
    hpo.main(study)
