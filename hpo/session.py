"""A study definition opened on a database: data loaded and hashed once, version settled, reference scored."""

import os
from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial

from hpo.database import StudyDatabase, as_database
from hpo.definition import StudyDefinition, context_hash, data_hash, versions
from hpo.errors import StudyChanged
from hpo.evaluation import Problem
from hpo.publication import Publication
from hpo.run_name import RunName


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
        self._n_folds: dict[int, int] = {}
        self.database = as_database(database)  # last: bad input must not leave an empty database behind
        self.version = _settle_version(definition.name, self.database, self.hashes, new_version=new_version)

    def problem(self, split: int) -> Problem:
        """The definition with the rows of one split; the last one is kept."""
        if self._problem.split != split:
            self._problem = Problem(self.definition, split, data=self._data)
        return self._problem

    def n_folds(self, split: int) -> int:
        """How many folds a configuration is trained on."""
        if split not in self._n_folds:
            self._n_folds[split] = self.problem(split).n_folds
        return self._n_folds[split]

    def context(self, split: int) -> str:
        """Hash of all that decides a configuration's score on the rows of a split."""
        return context_hash(self.hashes, split)

    @property
    def n_test(self) -> int:
        """How many rows are sealed."""
        return len(self._problem.partition.test)

    @property
    def has_test(self) -> bool:
        """Whether any row is sealed."""
        return self.n_test > 0

    def publish(self) -> Publication:
        """The definition and its data in a file, for evaluators in other processes.

        From then on the data are those of the file here too: one copy in memory serves this process and all
        evaluators of this machine.
        """
        publication = Publication(self.definition, self._data, self.hashes["data"])
        self._data = publication.mapped(self._data)
        self._problem = Problem(self.definition, self._problem.split, data=self._data)
        return publication

    def name(self, sampler: str, split: int, seed: int) -> RunName:
        """The name of a run of this study."""
        return RunName(self.definition.name, self.version, sampler, split, seed)

    def open_run(
        self,
        name: RunName,
        budget: int,
        *,
        fixed: Mapping[str, Any] | None = None,
        initial: Mapping[str, Any] | None = None,
    ) -> int:
        """Create the run, or raise its budget; returns its study id.

        Args:
            name: of the run.
            budget: how many trials it is to have.
            fixed: attributes that a stored run must have, the same.
            initial: attributes that it is given when it is created, and keeps.
        """
        budget = min(budget, 2**53)  # a whole grid may be larger than a database's integers
        fixed = fixed or {}
        attributes = {
            "study": name.study,
            "version": name.version,
            "sampler": name.sampler,
            "split": name.split,
            "seed": name.seed,
            "budget": budget,
            "metric": self.definition.shown_metric.key,
            "metric_sign": self.definition.shown_metric.sign,
            "context": self.context(name.split),
            **{f"hash_{key}": value for key, value in self.hashes.items()},
            **{f"version_{key}": value for key, value in versions().items()},
            **self._described,
            **fixed,
            **(initial or {}),
        }
        study_id = self.database.create_run(name, attributes)
        stored = self.database.attributes(study_id)
        if stored.get("study") != name.study:
            raise StudyChanged(f"{name} is a study that something else made in {self.database.name}: rename it there")
        changed = [key for key in fixed if stored.get(key) != fixed[key]]
        if changed:
            raise StudyChanged(f"{name} was made with another {changed[0].removeprefix('hash_')}: rename the sampler")
        if stored.get("budget", 0) < budget or stored.get("stopped"):
            self.database.set_attributes(study_id, {"budget": max(budget, stored.get("budget", 0)), "stopped": None})
        return study_id

    @property
    def _described(self) -> dict[str, Any]:
        """What a comparison must know of the definition, for who has the database alone; short, as all attributes."""
        definition = self.definition
        size = min(definition.space.grid_size, 2**53)
        return {"grid_size": size, "n_start": len(definition.start), "margin": definition.margin, "n_test": self.n_test}

    def evaluations(self, split: int) -> dict[str, str]:
        """Key of each configuration that is COMPLETE in the context of a split -> where: ``run#number``."""
        return self.database.evaluations(self.context(split))

    def reference(self, split: int) -> FrozenTrial | None:
        """The trial of the estimator's usual hyperparameters on this split, where it has been evaluated."""
        return self.database.trial(str(self.name("reference", split, 0)), 0)

    def reference_seconds(self, split: int) -> float | None:
        """What it took to fit and score the reference, or None where it has not been evaluated."""
        reference = self.reference(split)
        return (
            None if reference is None else reference.user_attrs["fit_seconds"] + reference.user_attrs["score_seconds"]
        )


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
