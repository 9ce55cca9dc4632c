"""Training curves: the loss on training and validation rows in each epoch, and what it says of the learning rate."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hpo.errors import InvalidOption, RunFailed
from hpo.evaluation.training_steps import each_epoch, says_epochs
from hpo.figures.line_chart import Chart, Line
from hpo.process.generators import fold_name, seeded
from hpo.units import counted, number_texts, one_line

if TYPE_CHECKING:
    from hpo.database.trial import Trial
    from hpo.runs.run import Run

# Of the training loss. Conventions, on curves of any scale.
MOST_RISES = 1 / 3  # rises, as a share of the falls: above, it jumps to and fro
MOST_LATE = 0.1  # of the whole fall that the last quarter of the epochs may bring: an even fall brings a quarter
FEWEST_EPOCHS = 8

Losses = tuple[float, float]  # on training and on validation rows


@dataclass(frozen=True)
class TrainingCurve:
    """The loss of one configuration in each epoch.

    Attributes:
        trial: its number.
        frame: columns epoch (from 1), train, validation: lower is better; not finite once it has diverged.
        loss: its name.
        unit: ``epoch``, or ``stage`` where trees are added.
        rows: which rows these are.
        start: the training loss of a dummy, where training begins; None where it is not known.
    """

    trial: int
    frame: pd.DataFrame
    loss: str
    unit: str
    rows: str
    start: float | None = None

    @property
    def sentences(self) -> list[str]:
        """What is to be seen, for people."""
        return [f"{self.loss} of trial {self.trial} on {self.rows}", *self.findings]

    @property
    def findings(self) -> list[str]:
        """What the curves say of the learning rate, and of the number of epochs."""
        return findings(list(self.frame["train"]), list(self.frame["validation"]), self.unit, start=self.start)

    @property
    def chart(self) -> Chart:
        """As a picture."""
        epochs = list(self.frame["epoch"])
        return Chart(
            title=f"Training of trial {self.trial}",
            caption=f"{self.loss} (lower is better) after each {self.unit}, on {self.rows}.",
            x_label=self.unit,
            y_label=self.loss,
            lines=[
                Line("validation rows", epochs, list(self.frame["validation"])),
                Line("training rows", epochs, list(self.frame["train"])),
            ],
        )


def findings(
    train: Sequence[float], validation: Sequence[float], unit: str = "epoch", *, start: float | None = None
) -> list[str]:
    """What losses say of the learning rate, and of the number of epochs.

    The learning rate is too high where the training loss ends above where it began (the larger of the dummy's loss and
    that of the first epoch) or is no number any more (diverges), or where its rises sum up to more than a third of its
    falls (overshoots). It is too low, or the epochs too few, where the last quarter of the epochs still brought more
    than a tenth of the whole fall.

    Args:
        train, validation: of shape (n_epochs,); validation may be NaN throughout.
        unit: what an epoch is called.
        start: the loss before the first epoch, that of a dummy; None where it is not known.
    """
    n = len(train)
    # Random weights may begin above a dummy; an epoch may be enough to be far below.
    begin = [] if start is None or not start > train[0] else [start]
    losses = np.asarray([*begin, *train], dtype=float)
    if not np.isfinite(losses).all() or losses[-1] > losses[0]:
        return [f"the learning rate is too high: the training loss diverges ({_span(losses)} in {counted(n, unit)})"]
    if n < FEWEST_EPOCHS:
        return [f"{counted(n, unit)} cannot show whether the learning rate is too high or too low"]
    steps = np.diff(losses)
    rises, falls = float(steps[steps > 0].sum()), float(-steps[steps < 0].sum())
    said = []
    late = float(losses[-1 - n // 4] - losses[-1]) / float(losses[0] - losses[-1]) if losses[0] > losses[-1] else 0.0
    if rises > MOST_RISES * falls:
        share = "more than it falls" if rises >= falls else f"by {rises / falls:.0%} of what it falls"
        said.append(f"the learning rate is too high: the training loss overshoots and rises again, {share}")
    elif late > MOST_LATE:
        said.append(
            f"the learning rate is too low, or the {unit}s too few: the last quarter of the {unit}s still brought "
            f"{late:.0%} of the fall of the training loss"
        )
    else:
        said.append(f"the training loss falls and levels off ({_span(losses)} in {counted(n, unit)})")
    held = np.asarray(validation, dtype=float)
    if np.isfinite(held).all():
        lowest = int(np.argmin(held))
        if n - 1 - lowest > n // 10 and held[-1] - held[lowest] > 0.05 * (held[0] - held[lowest]):
            said.append(f"the validation loss is lowest after {unit} {lowest + 1} of {n}: what follows overfits")
    return said


def _span(losses: np.ndarray) -> str:
    return " to ".join(number_texts([float(losses[0]), float(losses[-1])], 3))


def training_curve(run: "Run", trial: "Trial | None" = None) -> TrainingCurve:
    """Train a configuration on the first fold once more, and look at its loss after each epoch.

    scikit-learn's networks say when an epoch has ended; SGD models are trained epoch by epoch with ``partial_fit``, for
    as many epochs as ``fit`` takes, without their early stopping and with the rows in an order of their own; boosting
    shows its stages; a skorch net its own history. The loss is the log loss where there are probabilities, else the
    hinge loss; for regression the squared error; a net's is its own.

    Args:
        run: opened with its definition.
        trial: None is the best.

    Raises:
        InvalidOption: the estimator does not train in epochs.
        RunFailed: training raised.
        UnknownRun, StudyChanged: as in :meth:`hpo.Run.best_estimator`.

    Example:
        >>> import hpo
        >>> run = hpo.run("diabetes-boosting", sampler="random", trials=1, database=":memory:", progress="none")
        >>> list(hpo.training_curve(run).frame.columns)
        ['epoch', 'train', 'validation']
    """
    problem, chosen = run.problem(), trial or run.best
    estimator = problem.estimator(run.used(chosen, problem))
    before, last = _split_off_last(estimator)
    steps = _steps(last) if problem.data.y is not None else None
    if steps is None:
        raise InvalidOption(
            f"{type(last).__name__} does not train in epochs: --training is for networks, SGD models and boosting"
        )
    (X, y, _), (X_validation, y_validation, _) = map(problem.rows, problem.partition.folds[0])
    with warnings.catch_warnings(), seeded(problem.split, fold_name(0)):
        warnings.simplefilter("ignore")  # they were counted when it was a trial
        try:
            if before is not None:
                X = before.fit_transform(X, y)
                X_validation = before.transform(X_validation)
            losses = list(steps(last, (X, y), (X_validation, y_validation)))
        except Exception as error:
            what = f"{type(error).__name__}: {one_line(error)}"
            raise RunFailed(f"trial {chosen.number} of {run.name} cannot be trained again: {what}") from error
    frame = pd.DataFrame(losses, columns=["train", "validation"], dtype=float)
    frame.insert(0, "epoch", range(1, len(frame) + 1))
    fold = f"fold 1 of {problem.n_folds}" if problem.n_folds > 1 else "the training and validation rows"
    if steps is _of_history:
        fold += ", the net's own validation share" if frame["validation"].notna().any() else ", training rows alone"
    start = None if steps is _of_history else _dummy_loss(last, y)
    unit = "stage" if steps is _by_stages else "epoch"
    return TrainingCurve(chosen.number, frame, _loss_name(last), unit, fold, start)


def _split_off_last(estimator: Any) -> tuple[Any, Any]:
    from sklearn.pipeline import Pipeline

    if not isinstance(estimator, Pipeline):
        return None, estimator
    return (estimator[:-1] if len(estimator) > 1 else None), estimator[-1]


def _steps(last: Any) -> "Callable[..., Iterator[Losses]] | None":
    """How its epochs are looked at, or None where it has none."""
    if hasattr(last, "initialize") and hasattr(last, "max_epochs"):
        return _of_history
    if hasattr(last, "staged_predict") or hasattr(last, "staged_predict_proba"):
        return _by_stages
    if says_epochs(last):
        return _by_listening
    has_epochs = hasattr(last, "partial_fit") and hasattr(last, "max_iter") and getattr(last, "solver", "") != "lbfgs"
    return _by_partial_fit if has_epochs and _predicts(last) else None


def _predicts(last: Any) -> bool:
    from sklearn.base import is_classifier, is_regressor

    return bool(is_classifier(last) or is_regressor(last))


def _by_listening(last: Any, train: Any, validation: Any) -> Iterator[Losses]:
    losses: list[Losses] = []
    try:
        with each_epoch(last, lambda _: losses.append((_loss(last, *train), _loss(last, *validation)))):
            last.fit(*train)
    except ValueError:  # numbers too large: shown until there
        if not losses:
            raise
        losses.append((math.inf, math.inf))
    return iter(losses)


def _by_partial_fit(last: Any, train: Any, validation: Any) -> Iterator[Losses]:
    from sklearn.base import clone, is_classifier

    try:
        n_epochs = int(clone(last).fit(*train).n_iter_)
    except ValueError:  # numbers too large: shown until there
        n_epochs = last.max_iter
    own = clone(last)
    if "early_stopping" in own.get_params():
        own.set_params(early_stopping=False)
    if isinstance(own.random_state, (int, np.integer)):
        own.set_params(random_state=np.random.RandomState(own.random_state))  # each epoch in another order
    classes = {"classes": np.unique(train[1])} if is_classifier(own) else {}
    for epoch in range(n_epochs):
        try:
            own.partial_fit(*train, **classes)
        except ValueError:
            if epoch == 0:
                raise
            yield math.inf, math.inf
            return
        yield _loss(own, *train), _loss(own, *validation)


def _by_stages(last: Any, train: Any, validation: Any) -> Iterator[Losses]:
    last.fit(*train)
    stages = last.staged_predict_proba if hasattr(last, "staged_predict_proba") else last.staged_predict
    for on_train, on_validation in zip(stages(train[0]), stages(validation[0]), strict=True):
        yield _loss_of(last, train[1], on_train), _loss_of(last, validation[1], on_validation)


def _of_history(last: Any, train: Any, validation: Any) -> Iterator[Losses]:
    last.fit(*train)
    for row in last.history:
        yield float(row["train_loss"]), float(row.get("valid_loss", math.nan))


def _loss(model: Any, X: Any, y: Any) -> float:
    for method in ("predict_proba", "decision_function"):
        if hasattr(model, "classes_") and hasattr(model, method):
            return _loss_of(model, y, getattr(model, method)(X))
    return _loss_of(model, y, model.predict(X))


def _loss_of(model: Any, y: Any, predicted: np.ndarray) -> float:
    from sklearn.metrics import hinge_loss, log_loss

    if not np.isfinite(predicted).all():
        return math.inf
    if not hasattr(model, "classes_"):
        return float(np.mean((np.asarray(y, dtype=float) - predicted) ** 2))
    kind = log_loss if _loss_name(model) == "log loss" else hinge_loss
    return float(kind(y, predicted, labels=model.classes_))


def _dummy_loss(last: Any, y: Any) -> float:
    """The loss of what knows the target alone."""
    name = _loss_name(last)
    if name == "squared error":
        return float(np.mean((np.asarray(y, dtype=float) - np.mean(y, axis=0)) ** 2))
    if name == "hinge loss":
        return 1.0  # of decision values that are all 0
    shares = np.unique(y, return_counts=True)[1] / len(y)
    return float(-(shares * np.log(shares)).sum())


def _loss_name(last: Any) -> str:
    from sklearn.base import is_classifier

    if hasattr(last, "initialize"):
        return f"loss ({getattr(last.criterion, '__name__', 'its own')})"
    if not is_classifier(last):
        return "squared error"
    return "log loss" if hasattr(last, "predict_proba") else "hinge loss"
