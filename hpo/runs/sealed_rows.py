"""The sealed test rows: opened for finished incumbents only, each opening noted in the database."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hpo.evaluation.engine import Engine, Unit
from hpo.evaluation.evaluate import evaluate_folds, score_fitted
from hpo.evaluation.results import FoldResult
from hpo.process.generators import kept
from hpo.runs.session import StudySession
from hpo.runs.stopping import MOST_DEATHS
from hpo.study.hyperparameters import Configuration
from hpo.study.splits import TEST_FOLD

_AHEAD = 2  # units for each worker, so that none is idle and little is under way when the user wants an end


@dataclass(frozen=True)
class Finalist:
    """A configuration that is trained on train and validation rows and scored on the sealed test rows.

    Attributes:
        run, number: the trial that it was.
        split: fixes the estimator's random states; the rows are the same in every split.
        configuration: stored values of the hyperparameters; None is the reference.
        key: of the configuration.
    """

    run: str
    number: int
    split: int
    configuration: Configuration | None
    key: str


def score_on_test(
    session: StudySession,
    engine: Engine,
    finalists: Sequence[Finalist],
    *,
    seconds: float | None = None,
    stop: Callable[[], str | None] = lambda: None,
    shown: Callable[[int], None] = lambda n_scored: None,
) -> int:
    """Open the sealed test rows for each finalist, and note what they said.

    Args:
        session, engine: the study, and where it is evaluated.
        finalists: each once.
        seconds: that one may take; None is no limit.
        stop: says why no further one is to begin, or None.
        shown: is told after each how many were scored.

    Returns:
        How many were scored.
    """
    waiting = list(reversed(finalists))
    under_way: dict[tuple[str, int], tuple[Finalist, int]] = {}
    n_scored = 0
    while True:
        while waiting and len(under_way) < _AHEAD * engine.n_workers and stop() is None:
            finalist = waiting.pop()
            under_way[finalist.run, finalist.number] = finalist, 0
            engine.submit(_unit(finalist, seconds))
        if stop() is not None:
            for unit in engine.give_back():
                del under_way[unit.run, unit.number]
        if not under_way:
            return n_scored
        result = engine.wait()
        finalist, deaths = under_way.pop((result.unit.run, result.unit.number))
        if not result.folds and deaths + 1 < MOST_DEATHS:
            under_way[finalist.run, finalist.number] = finalist, deaths + 1
            engine.submit(_unit(finalist, seconds))
            continue
        score = result.folds[0] if result.folds else FoldResult(error=f"WorkerDied: by {result.died}")
        session.database.record_test_score(
            session.definition.name, session.context(finalist.split), finalist.key, dataclasses.asdict(score)
        )
        n_scored += 1
        shown(n_scored)


def score_model_on_test(session: StudySession, split: int, key: str, fitted: Any) -> None:
    """Open the sealed test rows for one model, and note what they said.

    Args:
        session: the study.
        split: the model's, which fixes its random states.
        key: of its configuration.
        fitted: trained on train and validation rows.
    """
    score = score_fitted(session.problem(split), fitted, TEST_FOLD)
    session.database.record_test_score(session.definition.name, session.context(split), key, dataclasses.asdict(score))


def score_reference_on_test(session: StudySession, split: int, key: str) -> None:
    """Train the reference on train and validation rows, open the sealed test rows for it, and note what they said.

    Args:
        session: the study.
        split: fixes the random states.
        key: of the reference's configuration.
    """
    with kept():
        (score,) = evaluate_folds(session.problem(split), session.definition.reference_used(), (TEST_FOLD,))
    session.database.record_test_score(session.definition.name, session.context(split), key, dataclasses.asdict(score))


def _unit(finalist: Finalist, seconds: float | None) -> Unit:
    return Unit(finalist.run, finalist.number, finalist.split, finalist.configuration, (TEST_FOLD,), seconds)
