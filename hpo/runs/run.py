"""A run as its user holds it: its trials, its best, and the model that its best makes."""

import contextlib
import os
import time
import warnings
from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any

import pandas as pd
import sqlalchemy as sa
from optuna.trial import FrozenTrial, TrialState
from threadpoolctl import threadpool_limits

from hpo.database import records
from hpo.database.run_name import RunName
from hpo.database.run_rows import seconds_of
from hpo.database.study_database import StudyDatabase
from hpo.database.trial import Trial
from hpo.database.trial_columns import best_numbers, read_trials, state_counts
from hpo.errors import HpoError, RunFailed, StudyChanged, UnknownRun
from hpo.evaluation.evaluate import Problem
from hpo.models.parameters import model_parameters
from hpo.process.failures import counted_warnings, describe, exits_heard
from hpo.process.generators import fold_name, seeded
from hpo.process.interrupts import is_interrupt
from hpo.runs.diagnosis import RunDiagnosis, diagnosis_of_run
from hpo.runs.final_model import Exported, FinalModel, check_export, export_model
from hpo.runs.optuna_studies import study_of
from hpo.runs.origin import to_make
from hpo.runs.session import StudySession
from hpo.runs.stopping import Outcome
from hpo.study.definition import StudyDefinition
from hpo.study.splits import TEST_FOLD
from hpo.units import Metric

if TYPE_CHECKING:
    import optuna

_DECIDES_THE_MODEL = ("data", "split", "space", "estimator")  # of what is hashed when a run is made


class Run:
    """One run in a database.

    Args:
        name: as in ``digits-mlp/tpe/split0-seed0``.
        database: where it is.
        definition: what was tuned; needed for :meth:`best_estimator` and :meth:`model_parameters` only.
        outcome: how the call that made it ended; None for a run that was only opened.

    Raises:
        UnknownRun: the database has no such run, or something else recorded it.

    Example:
        >>> import hpo
        >>> run = hpo.run("wine-tree", sampler="random", trials=3, database=":memory:", progress="none")
        >>> str(run.name)
        'wine-tree/random/split0-seed0'
        >>> bool(run.best.value == run.trials["value"].max())
        True
        >>> type(run.best_estimator()).__name__
        'DecisionTreeClassifier'
    """

    def __init__(
        self,
        name: "RunName | str",
        database: StudyDatabase,
        definition: StudyDefinition | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        self.database = database
        self.definition = definition
        self.outcome = outcome
        self._problem: Problem | None = None
        self._given = str(name)
        if "metric_sign" not in self.attributes:
            raise UnknownRun(
                f"{name} was not created by hpo. View it with `hpo dashboard`; delete it there with --writable"
            )
        self.name = name if isinstance(name, RunName) else RunName.parse(name)

    @property
    def study_id(self) -> int:
        """Optuna's id of it; looked up by its name each time, because that of a deleted run may be another's now.

        Raises:
            UnknownRun: it was deleted.
        """
        return self.database.study_id(self._given)

    @property
    def attributes(self) -> dict[str, Any]:
        """What is stored with the run: budget, metric, hashes, versions."""
        return self.database.attributes(self.study_id)

    @property
    def metric(self) -> Metric:
        """How its metric is shown to people."""
        attributes = self.attributes
        return Metric(attributes["metric"], attributes["metric_sign"])

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial; columns as in :meth:`StudyDatabase.trials`."""
        return self.database.trials(str(self.name))

    @property
    def study(self) -> "optuna.Study":
        """The run as an Optuna study, for ``optuna.visualization`` and ``trials_dataframe``; values are the scorer's.

        It is a copy in memory: what is written to it has no effect on the database.
        """
        return study_of(str(self.name), self.database.optuna_trials(self.study_id), self.attributes)

    def trial(self, number: int) -> Trial:
        """One trial.

        Raises:
            UnknownRun: the run has no trial of that number.
        """
        is_number = isinstance(number, Integral) and 0 <= number < 2**31
        trial = self.database.trial(str(self.name), int(number)) if is_number else None
        if trial is None:
            n_trials = self.database.n_trials(str(self.name))
            raise UnknownRun(f"{self.name} has no trial {number!r}: it has {n_trials}, numbered from 0")
        return Trial.from_optuna(trial)

    @property
    def best(self) -> Trial:
        """The first of the complete trials with the highest value.

        Raises:
            UnknownRun: no trial is complete.
        """
        best = self.database.best_trial(self.study_id)
        if best is None:
            raise UnknownRun(f"{self.name} has no complete trial yet")
        return Trial.from_optuna(best)

    def best_trials(self, n: int) -> list[Trial]:
        """The trials with the highest values, the best first; those without a value come last."""

        def read(connection: sa.Connection) -> list[FrozenTrial]:
            numbers = best_numbers(connection, self.study_id, limit=n)
            found = read_trials(connection, self.study_id, records.trials.c.number.in_(numbers))
            return sorted(found, key=lambda trial: numbers.index(trial.number))

        return [Trial.from_optuna(trial) for trial in self.database.ask(read)]

    @property
    def seconds(self) -> dict[str, float]:
        """What all trials took: ``fit_seconds``, ``score_seconds``, ``sampler_seconds``."""
        return self.database.ask(lambda connection: seconds_of(connection, self.study_id))

    @property
    def complete(self) -> list[Trial]:
        """The complete trials, in the order of their numbers."""
        is_complete = records.trials.c.state == TrialState.COMPLETE
        return [Trial.from_optuna(trial) for trial in self.database.optuna_trials(self.study_id, is_complete)]

    @property
    def best_params(self) -> dict[str, Any]:
        """Hyperparameters of the best trial, as they are stored."""
        return dict(self.best.params)

    @property
    def reference(self) -> Trial | None:
        """The estimator's usual hyperparameters on the same split, or None where they were not evaluated."""
        name = RunName(self.name.study, self.name.version, "reference", self.name.split, 0)
        trial = self.database.trial(str(name), 0)
        return None if trial is None else Trial.from_optuna(trial)

    @property
    def has_success(self) -> bool:
        """Whether any trial is complete."""
        return self.counts.get(TrialState.COMPLETE, 0) > 0

    @property
    def counts(self) -> dict[TrialState, int]:
        """How many trials there are in each state."""
        return self.database.ask(lambda connection: state_counts(connection, self.study_id))

    def summary(self) -> dict[str, Any]:
        """The run in plain values, for JSON: its name, attributes, best trial, reference, and why it ended."""
        reference = self.reference
        return {
            "run": str(self.name),
            "database": self.database.name,
            "ended_by": self.outcome.reason if self.outcome else None,
            "attributes": self.attributes,
            "best": vars(self.best) if self.has_success else None,
            "reference": None if reference is None else vars(reference),
        }

    def best_estimator(self) -> Any:
        """The best configuration trained on train and validation rows; the sealed test is not opened.

        Raises:
            UnknownRun: the run was opened without its definition.
            StudyChanged: the definition is no longer what the run was made with.
            RunFailed: training raised.
        """
        return self.trained(self.best)

    def model_parameters(self, trial: int | None = None) -> pd.DataFrame:
        """What the best configuration, or that of one trial, learns from train and validation rows: trains it.

        Columns as in :func:`hpo.model_parameters`; raises what :meth:`best_estimator` raises.
        """
        return model_parameters(self.trained(self.best if trial is None else self.trial(trial)))

    def export(
        self, path: "str | os.PathLike[str]", *, format: str = "skops", force: bool = False, open_test: bool = True
    ) -> Exported:
        """Train the best configuration on train and validation rows, score the sealed test rows, and write the model.

        Args:
            path: a folder to make, with the model, ``manifest.json`` and a model card, ``README.md``.
            format: ``skops``, which :func:`hpo.load_model` loads safely, or ``joblib``, a pickle.
            force: replace a model that is there.
            open_test: False leaves the sealed test rows sealed. Each configuration that they score is counted.

        Raises:
            InvalidOption, UnstorableModel: the folder or the format cannot be; and what :meth:`best_estimator` raises.
        """
        target = check_export(path, format, force=force)
        session = StudySession(self._needed_definition(), self.database)
        self._check_hashes(session.hashes)
        session.check_stored([self.name.split], sampler=self.name.sampler, seed=self.name.seed)
        trial, reference, stored = self.best, self.reference, self.attributes
        problem, begun = session.problem(self.name.split), time.monotonic()
        with threadpool_limits(stored.get("threads")), warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always")
            fitted = self.trained(trial, problem)
        seconds, diagnosis = time.monotonic() - begun, None
        with contextlib.suppress(HpoError):  # a card without it is a card all the same
            diagnosis = self._diagnosed(problem, trial, reference).sentence
        model = FinalModel(
            self.name, self.metric, stored, trial, reference, fitted, seconds, counted_warnings(raised), diagnosis
        )
        return export_model(model, session, target, file_format=format, open_test=open_test)

    def diagnosis(self, problem: Problem | None = None) -> RunDiagnosis:
        """Tell whether the winner overfits, underfits or fits well; see :func:`hpo.diagnose`.

        Args:
            problem: as for :meth:`trained`.
        """
        problem, best = self.problem() if problem is None else problem, self.best
        return self._diagnosed(problem, best, self.reference)

    def _diagnosed(self, problem: Problem, best: Trial, reference: Trial | None) -> RunDiagnosis:
        return diagnosis_of_run(problem, self.metric, self.complete, best, reference, self.used(best, problem))

    def trained(self, trial: Trial, problem: Problem | None = None) -> Any:
        """The configuration of one trial trained on train and validation rows; raises like :meth:`best_estimator`.

        Args:
            trial: of this run.
            problem: the definition with its data and the rows of this split, where they are at hand and checked.
        """
        problem = self.problem() if problem is None else problem
        X, y, fit_params = problem.rows(problem.partition.development)
        try:
            estimator = problem.estimator(self.used(trial, problem))
            with exits_heard(), seeded(problem.split, fold_name(TEST_FOLD)):  # as where it is scored on the test rows
                return estimator.fit(X, **fit_params) if y is None else estimator.fit(X, y, **fit_params)
        except BaseException as error:
            if is_interrupt(error):
                raise
            what = describe(error)
            raise RunFailed(f"trial {trial.number} of {self.name} cannot be trained again: {what}") from error

    def problem(self) -> Problem:
        """The definition with its data and the rows of this split, loaded once; raises like :meth:`best_estimator`."""
        definition = self._needed_definition()
        if self._problem is None or self._problem.definition is not definition:
            problem = Problem(definition, self.name.split)
            stored = {key.removeprefix("hash_"): value for key, value in self.attributes.items()}
            self._check_hashes(definition.hashes(problem.data, stored))
            self._problem = problem
        return self._problem

    def used(self, trial: Trial, problem: Problem) -> dict[str, Any]:
        """A trial's hyperparameters as the estimator is given them."""
        return problem.used(None if self.name.sampler == "reference" else trial.configuration)

    def _needed_definition(self) -> StudyDefinition:
        if self.definition is None:
            raise UnknownRun(f"{self.name} was opened without its study definition, which is needed to train")
        return self.definition

    def _check_hashes(self, hashes: Mapping[str, str]) -> None:
        stored = self.attributes
        changed = [name for name in _DECIDES_THE_MODEL if stored.get(f"hash_{name}", hashes[name]) != hashes[name]]
        if changed:
            raise StudyChanged(
                f"{self.name.study} changed since {self.name} was made: {', '.join(changed)}; undo the change to "
                "train its models again"
            )

    def __repr__(self) -> str:
        return f"Run({str(self.name)!r}, database={self.database.name!r})"

    def _repr_html_(self) -> str:
        from html import escape

        best = self.best
        rows = "".join(f"<tr><td>{escape(k)}</td><td>{escape(str(v))}</td></tr>" for k, v in best.params.items())
        return (
            f"<b>{escape(str(self.name))}</b><br>best {escape(self.metric.label)} "
            f"{self.metric.text(best.value)} in trial {best.number} ({self.metric.direction})"
            f"<table><tr><th>hyperparameter</th><th>value</th></tr>{rows}</table>"
        )


def best_run(study: StudyDefinition | str, database: StudyDatabase, split: int = 0) -> Run:
    """The run of a study with the best validation value on a split, in the study's latest version; the first of equals.

    Raises:
        UnknownRun: no sampler's run has a complete trial there.
    """
    runs = database.runs()
    name, definition = (study, None) if isinstance(study, str) else (study.name, study)
    own = runs[(runs["study"] == name) & (runs["split"] == split) & (runs["sampler"] != "reference")]
    own = own[own["complete"] > 0]
    if own.empty:
        raise UnknownRun(f"{name} has no run on split {split} in {database.name} yet; {to_make(study, database)}")
    latest = own[own["version"] == own["version"].max()]
    return Run(str(latest.loc[latest["best"].idxmax(), "run"]), database, definition)
