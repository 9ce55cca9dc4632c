"""Fits of a SearchCV that draw from the process's own random generators as if each were the first."""

from typing import Any

from hpo.process.generators import fold_name, kept, seed


class SeededTask:
    """scikit-learn's context of a batch of fits, which seeds the generators where a fit begins and keeps them for it.

    scikit-learn tells each fit's context when it begins and ends, in the process where that happens.

    Args:
        context: scikit-learn's.
        folds: of each candidate, in order, for the context of all fits.
        fold: for the context of one fit, its own.
    """

    def __init__(self, context: Any, folds: "list[int] | None" = None, fold: int | None = None) -> None:
        self._context, self._folds, self._fold = context, folds, fold
        self._kept: Any = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_context":  # while it is unpickled there is none yet
            raise AttributeError(name)
        return getattr(self._context, name)

    def subcontext(self, *, task_id: Any = 0, **options: Any) -> "SeededTask":
        """The context of one fit, of which scikit-learn numbers the folds of a candidate one after another."""
        assert self._folds is not None
        fold = self._folds[task_id % len(self._folds)]
        return SeededTask(self._context.subcontext(task_id=task_id, **options), fold=fold)

    def call_on_fit_task_begin(self, **told: Any) -> Any:
        """Seed; whoever hears of it first draws from the generators as they were."""
        heard = self._context.call_on_fit_task_begin(**told)
        if self._fold is not None:
            self._kept = kept()
            self._kept.__enter__()
            seed(0, fold_name(self._fold))
        return heard

    def call_on_fit_task_end(self, **told: Any) -> Any:
        """Put back what was there, after the fit and its scores."""
        if self._kept is not None:
            self._kept.__exit__(None, None, None)
            self._kept = None
        return self._context.call_on_fit_task_end(**told)
