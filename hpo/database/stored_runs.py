"""Every run with its attributes and how far it is, in three statements, for pages that are asked for often."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState

from hpo.database import records as t
from hpo.database.run_name import RunName
from hpo.errors import UnknownRun
from hpo.json_text import from_json
from hpo.units import Metric

EXHAUSTED = "exhausted"  # the attribute "stopped" of a run that has no configuration left to try
UNFINISHED = "unfinished"


def state_of(n_told: int, budget: Any, stopped: Any) -> str:
    """Return a run's state: ``done``, ``done (patience)`` and the like, or ``unfinished``.

    Args:
        n_told: how many trials it has told.
        budget, stopped: its attributes of these names; None where it has none, as runs of others.
    """
    if budget is not None and n_told >= float(budget):
        return "done"
    return f"done ({stopped})" if isinstance(stopped, str) and stopped else UNFINISHED


@dataclass(frozen=True)
class StoredRun:
    """A run as it is stored, without its trials.

    Attributes:
        study_id: Optuna's id of it.
        name: the parts of its name.
        attributes: of the run.
        n_told: trials that have ended, also those that failed or were pruned.
        n_failed: of these.
        best: highest value (the scorer's sign), or None.
        last: when its last trial ended (UTC), or None.
    """

    study_id: int
    name: RunName
    attributes: Mapping[str, Any]
    n_told: int = 0
    n_failed: int = 0
    best: float | None = None
    last: datetime | None = None

    @property
    def metric(self) -> Metric:
        """How values are shown."""
        return Metric(str(self.attributes["metric"]), int(self.attributes["metric_sign"]))

    @property
    def budget(self) -> int:
        """How many trials it is to have."""
        return int(self.attributes.get("budget") or 0)

    @property
    def lag(self) -> int:
        """How many trials might be under way when the next was proposed."""
        return int(self.attributes.get("lag") or 1)

    @property
    def is_held(self) -> bool:
        """Whether somebody records it, or recorded it when it died."""
        return self.attributes.get("holder") is not None

    @property
    def state(self) -> str:
        """``done``, ``done (patience)`` and the like, ``in progress``, or ``unfinished``."""
        state = state_of(self.n_told, self.budget, self.attributes.get("stopped"))
        return "in progress" if state == UNFINISHED and self.is_held else state

    def is_planned(self, trials: int) -> bool:
        """Whether it is to have so many trials, or all that there are."""
        return self.budget >= trials or self._has_all

    def is_done(self, trials: int) -> bool:
        """Whether it has had so many trials, or all that there are."""
        is_out = self.attributes.get("stopped") == EXHAUSTED
        return self.n_told >= trials or is_out or (self._has_all and self.n_told >= self.budget)

    @property
    def _has_all(self) -> bool:
        """Whether its budget covers a finite space: the whole grid, or all that could be proposed."""
        size = int(self.attributes.get("grid_size") or 0)
        return self.attributes.get("stopped") == EXHAUSTED or (self.name.sampler == "grid" and 0 < size <= self.budget)


def read_runs(connection: sa.Connection) -> list[StoredRun]:
    """The runs of this package in a database, in the order they were created; other Optuna studies are left out."""
    attributes: dict[int, dict[str, Any]] = defaultdict(dict)
    for study_id, key, value in connection.execute(
        sa.select(t.study_attributes.c.study_id, t.study_attributes.c.key, t.study_attributes.c.value_json)
    ):
        attributes[study_id][key] = from_json(value)
    counts = {row.study_id: row for row in connection.execute(_COUNTS)}
    found = []
    for study_id, text in connection.execute(
        sa.select(t.studies.c.study_id, t.studies.c.study_name).order_by(t.studies.c.study_id)
    ):
        try:
            name = RunName.parse(text)
        except UnknownRun:
            continue
        own, count = attributes[study_id], counts.get(study_id)
        if own.get("metric_sign") not in (1, -1) or own.get("study") != name.study:
            continue
        if count is None:
            found.append(StoredRun(study_id, name, own))
        else:
            n_told, n_failed = int(count.n_told), int(count.n_failed)
            found.append(StoredRun(study_id, name, own, n_told, n_failed, count.best, count.last))
    return found


_COUNTS = (
    sa.select(
        t.trials.c.study_id,
        sa.func.sum(sa.case((t.trials.c.state.in_([TrialState.RUNNING, TrialState.WAITING]), 0), else_=1)).label(
            "n_told"
        ),
        sa.func.sum(sa.case((t.trials.c.state == TrialState.FAIL, 1), else_=0)).label("n_failed"),
        sa.func.max(t.trials.c.datetime_complete).label("last"),
        sa.func.max(sa.case((t.trials.c.state == TrialState.COMPLETE, t.trial_values.c.value))).label("best"),
    )
    .join(
        t.trial_values,
        sa.and_(t.trial_values.c.trial_id == t.trials.c.trial_id, t.trial_values.c.objective == 0),
        isouter=True,
    )
    .group_by(t.trials.c.study_id)
)
