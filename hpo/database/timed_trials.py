"""What stored trials took: which of them can be evaluated again at what cost."""

import math
from dataclasses import dataclass

import sqlalchemy as sa
from optuna.trial import TrialState

from hpo.database import records as t


@dataclass(frozen=True)
class TimedTrial:
    """A complete trial that was evaluated, and not taken over from an equal one.

    Attributes:
        number: of the trial.
        seconds: that its fits and scores took.
        fold_seconds: the same for each of its folds.
    """

    number: int
    seconds: float
    fold_seconds: float


def timed_trials(connection: sa.Connection, run: str) -> list[TimedTrial]:
    """What the evaluated complete trials of a run took, in no order; none where there is no such run."""
    own = (
        sa.select(t.trials.c.trial_id, t.trials.c.number)
        .join(t.studies, t.studies.c.study_id == t.trials.c.study_id)
        .where(t.studies.c.study_name == run, t.trials.c.state == TrialState.COMPLETE)
    ).subquery()

    def attribute(*keys: str) -> list[tuple[int, str]]:
        table = t.trial_attributes.c
        query = sa.select(own.c.number, table.value_json).join(own, own.c.trial_id == table.trial_id)
        return [(number, text) for number, text in connection.execute(query.where(table.key.in_(keys))).fetchall()]

    seconds: dict[int, float] = {}
    for number, text in attribute("fit_seconds", "score_seconds"):
        seconds[number] = seconds.get(number, 0.0) + _number(text)
    taken_over = {number for number, _ in attribute("duplicate_of")}
    folds = sa.select(own.c.number, sa.func.count()).join(t.trial_folds, t.trial_folds.c.trial_id == own.c.trial_id)
    n_folds = {int(row[0]): int(row[1]) for row in connection.execute(folds.group_by(own.c.number))}
    return [
        TimedTrial(number, total, total / n_folds[number])
        for number, total in seconds.items()
        if number in n_folds and number not in taken_over
    ]


def _number(text: str) -> float:
    """Seconds as they are stored; something else may have written what is no number."""
    try:
        number = float(text)  # a number in JSON is one in Python, and is read in a fifth of the time
    except (ValueError, TypeError):
        return 0.0
    return number if math.isfinite(number) else 0.0
