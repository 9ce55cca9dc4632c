"""Tune a neural network with dropout that reads handwritten digits, in PyTorch (1797 images of 8x8 pixels).

What is tuned: layers and neurons, their activation function, dropout; the loss function that training minimises; the
optimizer, its learning rate (and momentum, where it is SGD), batch size, epochs; and the validation percentage, the
part of the training images that training itself does not learn from: when the loss on it has not fallen for five epochs
training ends, and takes the weights of its best epoch. skorch makes a scikit-learn estimator of it; no loop is written here.

What to look for: dropout silences a share of the neurons at random in every step, so that none can rely on another. The
network then fits its training images less well, and the gap to the validation images shrinks:

    trials = hpo.StudyDatabase().trials(study="digits-dropout-net")
    trials["gap"] = trials["train_score"] - trials["value"]
    trials.groupby(trials["params_dropout"].round(1))[["train_score", "value", "gap"]].median()

The outputs become probabilities by softmax with either loss. Cross entropy aims at probabilities; the margin loss only
wants the right digit ahead of the others, and does worse by the metric, log loss, than by accuracy: a loss is what is
minimised, a metric what is wanted.
"""

from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hpo
from hpo import Categorical, Float, Holdout, Int, SearchSpace, StudyDefinition


def load_images():
    X, y = load_digits(return_X_y=True)
    return X.astype("float32"), y


def network(layers, neurons, activation, dropout, random_state):
    """An input for each pixel; hidden layers with activation and dropout; an output for each digit."""
    import torch

    # Weights are drawn here, and after them, from the same generator, the batches and who is silenced.
    torch.manual_seed(random_state)
    torch.set_num_threads(1)  # sums differ in their last digit with the number of threads
    widths = [64, *[neurons] * layers]
    hidden = [
        step
        for i in range(layers)
        for step in (torch.nn.Linear(*widths[i : i + 2]), getattr(torch.nn, activation)(), torch.nn.Dropout(dropout))
    ]
    return torch.nn.Sequential(*hidden, torch.nn.Linear(neurons, 10))


def build(params):
    try:
        import torch
        from skorch import NeuralNetClassifier
        from skorch.callbacks import EarlyStopping
        from skorch.dataset import ValidSplit
    except ImportError as error:
        raise ImportError("this study needs PyTorch and skorch: pip install 'hpo-studies[torch]'") from error
    optional = {"momentum": "optimizer__momentum", "label_smoothing": "criterion__label_smoothing"}
    net = NeuralNetClassifier(
        network,
        **{f"module__{name}": params[name] for name in ("layers", "neurons", "activation", "dropout")},
        module__random_state=None,  # set from the split, as scikit-learn's are
        criterion=getattr(torch.nn, params["loss"]),
        optimizer=getattr(torch.optim, params["optimizer"]),
        **{theirs: params[ours] for ours, theirs in optional.items() if ours in params},
        lr=params["learning_rate"],
        batch_size=params["batch_size"],
        iterator_train__shuffle=True,
        max_epochs=params["epochs"],
        train_split=ValidSplit(params["validation"], stratified=True),
        callbacks=[("patience", EarlyStopping(patience=5, load_best=True))],
        predict_nonlinearity=torch.nn.Softmax(dim=-1),
        verbose=0,
    )
    return make_pipeline(StandardScaler(), net)


study = StudyDefinition(
    name="digits-dropout-net",
    data=load_images,
    estimator=build,
    space=SearchSpace(
        {
            "layers": Int(1, 3),
            "neurons": Int(32, 512, log=True),
            "activation": Categorical(["ReLU", "Tanh", "GELU"]),
            "dropout": Float(0.0, 0.7),
            "loss": Categorical(["CrossEntropyLoss", "MultiMarginLoss"]),
            "label_smoothing": Float(0.0, 0.05, when={"loss": "CrossEntropyLoss"}),
            "optimizer": Categorical(["Adam", "SGD"]),
            "momentum": Float(0.8, 0.98, when={"optimizer": "SGD"}),
            "learning_rate": Float(5e-4, 3e-2, log=True),
            "batch_size": Int(32, 256, log=True),
            "epochs": Int(10, 60),
            "validation": Float(0.05, 0.3),
        }
    ),
    # The defaults of PyTorch, skorch and scikit-learn (its one hidden layer of 100), and the most epochs of the space.
    reference={
        "layers": 1,
        "neurons": 100,
        "activation": "ReLU",
        "dropout": 0.5,
        "loss": "CrossEntropyLoss",
        "label_smoothing": 0.0,
        "optimizer": "Adam",
        "learning_rate": 1e-3,
        "batch_size": 128,
        "epochs": 60,
        "validation": 0.2,
    },
    metric="neg_log_loss",
    extra_metrics=["accuracy"],
    split=Holdout(validation=0.2, test=0.2),
    margin=0.01,
)

if __name__ == "__main__":
    hpo.main(study)
