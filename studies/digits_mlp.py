"""Tune a multilayer perceptron that reads handwritten digits (1797 images of 8x8 pixels).

What is tuned: the architecture (``depth`` hidden layers of ``width`` neurons, their activation) and the way it
is trained (solver, learning rate, batch size, and ``momentum`` where the solver is sgd). No path of ``set_params``
leads to depth and width, so the estimator is a function of the hyperparameters.

What to look for: the learning rate decides most. Every configuration has at most 40 passes over the images: with
1e-4 it is hardly under way at the end, with 1e-1 and adam it overshoots; sgd wants larger rates than adam. More
layers help little on so small images. The reference, too, is stopped after 40 passes, of the about 160 in which it
would converge: what tuning gains here is in part speed.

The metric is the log loss: it sees how sure the network is of each digit, where accuracy counts mistakes only.
"""

from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hpo
from hpo import Categorical, Float, Holdout, Int, SearchSpace, StudyDefinition


def build(params):
    hidden = (params["width"],) * params["depth"]
    others = {name: value for name, value in params.items() if name not in {"width", "depth"}}
    # Ends early when the training loss has not fallen by 0.001 in five passes.
    mlp = MLPClassifier(hidden, max_iter=40, tol=1e-3, n_iter_no_change=5, **others)
    return make_pipeline(StandardScaler(), mlp)


study = StudyDefinition(
    name="digits-mlp",
    data=lambda: load_digits(return_X_y=True),
    estimator=build,
    space=SearchSpace(
        {
            "depth": Int(1, 3),
            "width": Int(16, 128, log=True),
            "activation": Categorical(["relu", "tanh", "logistic"]),
            "learning_rate_init": Float(1e-4, 1e-1, log=True),
            "batch_size": Int(32, 256, log=True),
            "solver": Categorical(["adam", "sgd"]),
            "momentum": Float(0.5, 0.99, when={"solver": "sgd"}),
        }
    ),
    # scikit-learn's defaults, but for the number of passes.
    reference={
        "depth": 1,
        "width": 100,
        "activation": "relu",
        "learning_rate_init": 1e-3,
        "batch_size": 200,
        "solver": "adam",
    },
    metric="neg_log_loss",
    split=Holdout(validation=0.2, test=0.2),
)

if __name__ == "__main__":
    hpo.main(study)
