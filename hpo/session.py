"""A study definition opened on a database: data loaded and hashed once, version settled, reference scored."""

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.database import StudyDatabase, as_database
from hpo.definition import StudyDefinition, context_hash, data_hash, versions
from hpo.errors import InvalidSpace, RunInUse, StudyChanged
from hpo.evaluation import Problem, evaluate
from hpo.records import TrialRecord
from hpo.run_name import RunName
from hpo.space import configuration_key


class StudySession:
    """A definition opened on a database: its data loaded and hashed once, its version settled.

    Raises:
        StudyChanged: the database has runs of a study of that name made with something else.
    """

    def __init__(
        self,
        definition: StudyDefinition,
        database: "StudyDatabase | str | os.PathLike[str] | None",
        *,
        new_version: bool = False,
    ) -> None:
        self.definition = definition
        self._data = definition.load()
        self.hashes = {"data": data_hash(self._data), **definition.fixed_hashes}
        self._problem = Problem(definition, 0, data=self._data)
        self.database = as_database(database)  # last: bad input must not leave an empty database behind
        self.version = _settle_version(definition.name, self.database, self.hashes, new_version=new_version)

    def problem(self, split: int) -> Problem:
        """The definition with the rows of one split; the last one is kept."""
        if self._problem.split != split:
            self._problem = Problem(self.definition, split, data=self._data)
        return self._problem

    def name(self, sampler: str, split: int, seed: int) -> RunName:
        """The name of a run of this study."""
        return RunName(self.definition.name, self.version, sampler, split, seed)

    def open_run(self, name: RunName, budget: int, extra: Mapping[str, Any] | None = None) -> int:
        """Create the run, or raise its budget; returns its study id."""
        budget = min(budget, 2**53)  # a whole grid may be larger than a database's integers
        attributes = {
            "study": name.study,
            "version": name.version,
            "sampler": name.sampler,
            "split": name.split,
            "seed": name.seed,
            "budget": budget,
            "metric": self.definition.shown_metric.key,
            "metric_sign": self.definition.shown_metric.sign,
            "context": context_hash(self.hashes, name.split),
            **{f"hash_{key}": value for key, value in self.hashes.items()},
            **{f"version_{key}": value for key, value in versions().items()},
            **(extra or {}),
        }
        study_id = self.database.create_run(name, attributes)
        stored = self.database.attributes(study_id)
        changed = [key for key in (extra or {}) if stored.get(key) != attributes[key]]
        if changed:
            raise StudyChanged(f"{name} was made with another {changed[0].removeprefix('hash_')}: rename the sampler")
        if stored.get("budget", 0) < budget or stored.get("stopped"):
            self.database.set_attributes(study_id, {"budget": max(budget, stored.get("budget", 0)), "stopped": None})
        return study_id

    def reference(self, split: int) -> FrozenTrial:
        """The trial of the estimator's usual hyperparameters on this split, evaluated once per database."""
        name = self.name("reference", split, 0)
        study_id = self.open_run(name, budget=1)
        stored = self.database.optuna_trials(study_id)
        if stored:
            return stored[0]
        used = self.definition.reference_used()
        started, clock = datetime.now(UTC), time.perf_counter()
        evaluation = evaluate(self.problem(split), used)
        params = _reference_params(self.definition)
        trial = create_trial(
            state=TrialState.FAIL if evaluation.value is None else TrialState.COMPLETE,
            value=evaluation.value,
            params=params,
            # One choice each: a reference may lie outside the space.
            distributions={key: CategoricalDistribution((value,)) for key, value in params.items()},
            user_attrs={**evaluation.attributes(), "configuration": configuration_key(used)},
            intermediate_values=dict(enumerate(evaluation.fold_scores)),
        )
        trial.number = 0
        finished = started + timedelta(seconds=time.perf_counter() - clock)
        try:
            self.database.record(str(name), study_id, TrialRecord(trial, started, finished, {}))
        except RunInUse:  # another process evaluated it meanwhile; a score is the same whoever computed it
            return self.database.optuna_trials(study_id)[0]
        return trial


def _settle_version(study: str, database: StudyDatabase, hashes: Mapping[str, str], *, new_version: bool) -> int:
    """The version of the study whose runs were made with these hashes; 1 where there are no runs."""
    known = database.version_hashes(study)
    for number in sorted(known, reverse=True):
        if known[number] == hashes:
            return number
    if not known:
        return 1
    latest = max(known)
    if new_version:
        return latest + 1
    changed = [key for key in hashes if known[latest].get(key) != hashes[key]]
    raise StudyChanged(
        f"{study} changed since its runs in {database.name} were made: {', '.join(changed)}; --new-version starts "
        f"{study}@{latest + 1} and takes over the evaluations that still hold, or change it back"
    )


def _reference_params(definition: StudyDefinition) -> dict[str, Any]:
    """The reference's hyperparameters as they are stored: labels, or the text of an object."""
    params = {}
    for name, value in (definition.reference or {}).items():
        try:
            params[name] = definition.space.parameters[name].check(value)
        except (KeyError, InvalidSpace):
            params[name] = value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
    return params
