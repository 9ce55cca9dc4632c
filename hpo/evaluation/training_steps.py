"""Training that is watched: after steps of a plain fit its validation score is known, and a pruner may end it.

Watching changes nothing in what is learned: a trial that is not pruned has exactly the model it would have had. So
an estimator's ``fit`` is listened to where it lets us, and otherwise repeated with fewer steps:

- *epochs*: multilayer perceptrons and skorch nets say when an epoch has ended.
- *growth*: ensembles with ``warm_start`` are fitted with 1, 2, 4, ... members; the same members in the end.
- *restarts*: others with a number of steps (``max_iter``, ``n_estimators``, ...) are fitted with 1, 3, 9, ... of
  them, as in successive halving (Jamieson and Talwalkar 2016), which costs at most half as much again.
  ``partial_fit`` would be cheaper and learns something else than ``fit`` does: ``SGDClassifier`` shuffles anew.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from hpo.evaluation.results import LearningCurve

STEP_PARAMETERS = ("max_iter", "n_estimators", "max_epochs", "epochs", "n_iter")
_GROWING = ("RandomForest", "ExtraTrees", "GradientBoosting", "HistGradientBoosting", "Bagging")


class Pruned(Exception):
    """The pruner has ended this training; ``curve`` is what it saw."""

    def __init__(self, curve: LearningCurve) -> None:
        super().__init__()
        self.curve = curve


class Watcher(Protocol):
    """Hears of each step of one training."""

    @property
    def curve(self) -> LearningCurve:
        """What it heard."""

    def report(self, step: int) -> None:
        """A step was taken; raises :class:`Pruned` where it has heard enough."""

    def finish(self, step: int) -> None:
        """The training has ended by itself, after so many steps."""


class Watching(Protocol):
    """What is sent along with a unit whose training is watched."""

    def begin(self, score: Callable[[], float]) -> Watcher:
        """Watch a training; ``score`` gives the validation score of the model as it is."""


def is_watchable(estimator: Any) -> bool:
    """Whether an unfitted estimator trains in steps."""
    path, inner, _ = _innermost(estimator)
    return _mode(inner) is not None or _steps(estimator, path) is not None


def fit_watched(estimator: Any, fit: Callable[[], Any], watcher: Watcher) -> None:
    """Fit an estimator, reporting after steps.

    Args:
        estimator: unfitted; a pipeline's last step is watched.
        fit: fits it, on the same rows at each call.
        watcher: is told of each step.

    Raises:
        Pruned: it is not worth going on.
    """
    path, inner, is_cloned = _innermost(estimator)
    mode = None if is_cloned else _mode(inner)
    if mode == "perceptron":
        _fit_perceptron(inner, fit, watcher)
        return
    if mode == "skorch":
        _fit_net(inner, fit, watcher)
        return
    found = _steps(estimator, path)
    if found is None:  # at this configuration it trains at once
        fit()
        return
    name, n_steps = found
    grows = not is_cloned and _grows(inner)
    if grows:
        warm = estimator.get_params()[f"{path}warm_start"]
        estimator.set_params(**{f"{path}warm_start": True})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that so few steps do not converge goes without saying
        for step in _ladder(n_steps, 2 if grows else 3):
            estimator.set_params(**{name: step})
            fit()
            watcher.report(step)
    estimator.set_params(**{name: n_steps})
    fit()
    if grows:
        estimator.set_params(**{f"{path}warm_start": warm})
    watcher.finish(n_steps)


def _innermost(estimator: Any) -> tuple[str, Any, bool]:
    """(Parameter path, estimator, whether its fit is on a clone) of what trains in the end."""
    path, is_cloned = "", False
    while True:
        parameters = estimator.get_params(deep=False) if hasattr(estimator, "get_params") else {}
        if hasattr(estimator, "steps") and estimator.steps:  # a pipeline
            name, inner = estimator.steps[-1]
        elif any(name in parameters for name in STEP_PARAMETERS):
            return path, estimator, is_cloned
        else:
            nested = [(name, value) for name, value in parameters.items() if hasattr(value, "get_params")]
            if len(nested) != 1:
                return path, estimator, is_cloned
            (name, inner), is_cloned = nested[0], True
        path, estimator = f"{path}{name}__", inner


def _steps(estimator: Any, path: str) -> tuple[str, int] | None:
    """Name and value of the parameter that says how many steps there are, where there is more than one."""
    parameters = estimator.get_params() if hasattr(estimator, "get_params") else {}
    for name in STEP_PARAMETERS:
        value = parameters.get(f"{path}{name}")
        if isinstance(value, int) and not isinstance(value, bool) and value > 1:
            return f"{path}{name}", value
    return None


def _mode(inner: Any) -> str | None:
    """How an estimator says that an epoch has ended, or None."""
    names = {base.__module__.partition(".")[0] + "." + base.__name__ for base in type(inner).__mro__}
    if "skorch.NeuralNet" in names:
        return "skorch"
    if "sklearn.BaseMultilayerPerceptron" in names and hasattr(inner, "_update_no_improvement_count"):
        return None if inner.solver == "lbfgs" else "perceptron"
    return None


def _grows(inner: Any) -> bool:
    """Whether an ensemble that is grown is the same as one that is fitted at once."""
    parameters = inner.get_params(deep=False)
    kinds = {base.__name__ for base in type(inner).__mro__ if base.__module__.startswith("sklearn.ensemble")}
    is_known = any(kind.startswith(_GROWING) or kind.removeprefix("Base").startswith(_GROWING) for kind in kinds)
    stops_early = parameters.get("early_stopping", False) or parameters.get("n_iter_no_change") is not None
    if "HistGradientBoosting" in type(inner).__name__:
        stops_early = parameters["early_stopping"] is not False
    return is_known and "warm_start" in parameters and not stops_early and not parameters.get("oob_score", False)


def _ladder(n_steps: int, ratio: int) -> Iterator[int]:
    step = 1
    while step < n_steps:
        yield step
        step *= ratio


def _is_due(step: int) -> bool:
    """Whether to score after an epoch: after each of the first 8, then four times until their number has doubled."""
    return step <= 8 or step % (1 << (step.bit_length() - 3)) == 0


def _fit_perceptron(inner: Any, fit: Callable[[], Any], watcher: Watcher) -> None:
    with each_epoch(inner, lambda epoch: watcher.report(epoch) if _is_due(epoch) else None):
        fit()
    watcher.finish(inner.n_iter_)


def says_epochs(estimator: Any) -> bool:
    """Whether :func:`each_epoch` hears it: a multilayer perceptron of scikit-learn, but for the solver lbfgs."""
    return _mode(estimator) == "perceptron"


@contextlib.contextmanager
def each_epoch(network: Any, heard: Callable[[int], None]) -> Iterator[None]:
    """While a perceptron is fitted here, call ``heard`` with the number of each epoch that has ended."""
    after = network._update_no_improvement_count  # called at the end of each epoch, and of nothing else

    def after_and_heard(*args: Any, **kwargs: Any) -> None:
        after(*args, **kwargs)
        heard(network.n_iter_)

    network._update_no_improvement_count = after_and_heard
    try:
        yield
    finally:
        del network._update_no_improvement_count


def _fit_net(inner: Any, fit: Callable[[], Any], watcher: Watcher) -> None:
    import torch
    from skorch.callbacks import Callback

    class Report(Callback):  # type: ignore[misc]
        def on_epoch_end(self, net: Any, **_: Any) -> None:
            step = len(net.history)
            if _is_due(step):
                with torch.random.fork_rng():  # scoring draws random numbers, of which training is not to notice
                    watcher.report(step)

    given = inner.callbacks
    inner.callbacks = [*(given or []), ("hpo_report", Report())]
    try:
        fit()
    finally:
        inner.callbacks = given
        inner.callbacks_ = [pair for pair in getattr(inner, "callbacks_", []) if pair[0] != "hpo_report"]
    watcher.finish(len(inner.history))
