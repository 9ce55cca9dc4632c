"""Tune a multilayer perceptron that reads handwritten digits (1797 images of 8x8 pixels).

What is tuned: the architecture (``depth`` hidden layers of ``width`` neurons, their activation function) and the way it
is trained: the optimizer (``solver``) with its learning rate (and ``momentum``, where it is sgd), the batch size, the
epochs, and whether to stop early by a share of the training images that is held back for that (the validation
percentage). No path of ``set_params`` leads to depth and width, so the estimator is a function of the hyperparameters.

What to look for: the learning rate decides most. ``hpo show RUN --training`` draws the loss of each epoch: with 1e-4 it
is hardly under way at the end, with 1e-1 and adam it overshoots; sgd wants larger rates than adam. More layers help
little on so small images. The reference, too, is stopped after 40 epochs, of the about 160 in which it would converge:
what tuning gains here is in part speed. What is learned are weights and biases, one more than inputs for each neuron.

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
    # Ends when the training loss (or the accuracy on the images held back) has not got better by 0.001 in five epochs.
    mlp = MLPClassifier(hidden, tol=1e-3, n_iter_no_change=5, **others)
    return make_pipeline(StandardScaler(), mlp)


# scikit-learn's defaults, but for the number of epochs.
USUAL = {
    "depth": 1, "width": 100, "activation": "relu", "learning_rate_init": 1e-3, "batch_size": 200, "solver": "adam",
    "max_iter": 40, "early_stopping": False,
}  # fmt: skip

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
            "max_iter": Int(5, 40, log=True),
            "early_stopping": Categorical([False, True]),
            "validation_fraction": Float(0.05, 0.3, when={"early_stopping": True}),
        }
    ),
    reference=USUAL,
    metric="neg_log_loss",
    split=Holdout(validation=0.2, test=0.2),
)

if __name__ == "__main__":
    hpo.main(study)
