"""What stored trials took: which of them can be evaluated again at what cost."""

from dataclasses import dataclass

import sqlalchemy as sa
from optuna.trial import TrialState

from hpo.database import records as t
from hpo.json_text import from_json


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
    names = ("fit_seconds", "score_seconds", "duplicate_of")
    own = (
        sa.select(t.trials.c.trial_id, t.trials.c.number)
        .join(t.studies, t.studies.c.study_id == t.trials.c.study_id)
        .where(t.studies.c.study_name == run, t.trials.c.state == TrialState.COMPLETE)
    ).subquery()
    attributes = sa.select(own.c.number, t.trial_attributes.c.key, t.trial_attributes.c.value_json).join(
        own, own.c.trial_id == t.trial_attributes.c.trial_id
    )
    seconds: dict[int, float] = {}
    taken_over = set()
    for number, key, value in connection.execute(attributes.where(t.trial_attributes.c.key.in_(names))):
        if key == "duplicate_of":
            taken_over.add(number)
        else:
            seconds[number] = seconds.get(number, 0.0) + _number(from_json(value))
    folds = sa.select(own.c.number, sa.func.count()).join(t.trial_folds, t.trial_folds.c.trial_id == own.c.trial_id)
    n_folds = {int(row[0]): int(row[1]) for row in connection.execute(folds.group_by(own.c.number))}
    return [
        TimedTrial(number, total, total / n_folds[number])
        for number, total in seconds.items()
        if number in n_folds and number not in taken_over
    ]


def _number(value: object) -> float:
    """Seconds as they are stored; something else may have written what is no number."""
    return float(value) if isinstance(value, (int, float)) else 0.0
