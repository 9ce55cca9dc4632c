"""Tune a neural network with dropout that reads handwritten digits, in PyTorch (1797 images of 8x8 pixels).

What is tuned: layers and neurons, their activation function, dropout; the loss function that training minimises; the
optimizer, its learning rate (and momentum, where it is SGD), batch size, epochs; and the validation percentage:
training ends when the loss on it has not fallen for five epochs. skorch makes a scikit-learn estimator of the network.

What to look for: dropout silences a share of the neurons at random in every step, so that none can rely on another. The
network fits its training images less well, and the gap to the validation images shrinks:

    trials = hpo.StudyDatabase().trials(study="digits-dropout-net")
    gap = trials["train_score"] - trials["value"]
    gap.groupby(trials["params_dropout"].round(1)).median()

The margin loss wants the right digit ahead of the others and no more, and does badly by the metric, log loss.
"""

from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hpo
from hpo import Categorical, Float, Holdout, Int, SearchSpace, StudyDefinition


def load_images():
    digits = load_digits()
    return digits.data.astype("float32"), digits.target


def network(layers, neurons, activation, dropout, random_state):
    import torch

    torch.manual_seed(random_state)  # of the weights, and after them of the batches and of who is silenced
    torch.set_num_threads(1)  # sums differ in their last digit with the number of threads
    steps = []
    for n_inputs in [64, *[neurons] * (layers - 1)]:
        steps += [torch.nn.Linear(n_inputs, neurons), getattr(torch.nn, activation)(), torch.nn.Dropout(dropout)]
    return torch.nn.Sequential(*steps, torch.nn.Linear(neurons, 10))


def build(params):
    try:
        import skorch
        import torch
    except ImportError as error:
        raise ImportError("this study needs PyTorch and skorch: pip install 'hpo-studies[torch]'") from error
    momentum = {"optimizer__momentum": params["momentum"]} if "momentum" in params else {}
    net = skorch.NeuralNetClassifier(
        network,
        **{f"module__{name}": params[name] for name in ("layers", "neurons", "activation", "dropout")},
        module__random_state=None,  # set from the split, as scikit-learn's are
        criterion=getattr(torch.nn, params["loss"]),
        optimizer=getattr(torch.optim, params["optimizer"]),
        **momentum,
        lr=params["learning_rate"],
        batch_size=params["batch_size"],
        iterator_train__shuffle=True,
        max_epochs=params["epochs"],
        train_split=skorch.dataset.ValidSplit(params["validation"], stratified=True),
        callbacks=[("patience", skorch.callbacks.EarlyStopping(patience=5, load_best=True))],
        predict_nonlinearity=torch.nn.Softmax(dim=-1),
        verbose=0,
    )
    return make_pipeline(StandardScaler(), net)


# The defaults of PyTorch, skorch and scikit-learn (its one hidden layer of 100), and the most epochs of the space.
USUAL = {
    "layers": 1, "neurons": 100, "activation": "ReLU", "dropout": 0.5, "loss": "CrossEntropyLoss",
    "optimizer": "Adam", "learning_rate": 1e-3, "batch_size": 128, "epochs": 60, "validation": 0.2,
}  # fmt: skip

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
            "optimizer": Categorical(["Adam", "SGD"]),
            "momentum": Float(0.8, 0.98, when={"optimizer": "SGD"}),
            "learning_rate": Float(5e-4, 3e-2, log=True),
            "batch_size": Int(32, 256, log=True),
            "epochs": Int(10, 60),
            "validation": Float(0.05, 0.3),
        }
    ),
    reference=USUAL,
    metric="neg_log_loss",
    split=Holdout(validation=0.2, test=0.2),
    margin=0.01,
)

if __name__ == "__main__":
    hpo.main(study)
