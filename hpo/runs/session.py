"""A study definition opened on a database: data loaded and hashed once, version settled, reference scored."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from threadpoolctl import threadpool_limits

from hpo.database.opening import clear_reading
from hpo.database.records import RunKey
from hpo.database.run_name import RunName
from hpo.database.study_database import StudyDatabase, as_database
from hpo.database.timed_trials import TimedTrial
from hpo.errors import StudyChanged, UnknownRun
from hpo.evaluation.evaluate import Problem, evaluate_folds
from hpo.evaluation.reproduction import UNSEEN, Reproduction, allowance, reproduce
from hpo.process.generators import kept
from hpo.runs.origin import ORIGIN, stored_origin
from hpo.study.definition import Data, StudyDefinition, changed_versions, context_hash, versions
from hpo.study.publication import Publication
from hpo.units import format_duration


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
        self._today = self.hashes = definition.hashes(self._data)
        self._problem = Problem(definition, 0, data=self._data)
        self._n_folds: dict[int, int] = {}
        self._contexts: dict[tuple[object, ...], str] = {}
        self._may_begin_anew = new_version
        self.database = as_database(database)  # last: bad input must not leave an empty database behind
        self._begun_anew = self.database.versions_begun_anew(definition.name)
        self._known, self._same = _versions(definition, self._data, self.database, self._today)
        self.version = self._settle_version()

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
        begun_anew = self.version if self.version in self._begun_anew else 0
        made_with = split, begun_anew, *self.hashes.values()
        if made_with not in self._contexts:
            self._contexts[made_with] = context_hash(self.hashes, split, self.definition.distributions, begun_anew)
        return self._contexts[made_with]

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
    ) -> RunKey:
        """Create the run, or raise its budget.

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
            **{f"version_{key}": value for key, value in self._versions.items()},
            **({"begun_anew": True} if name.version in self._begun_anew else {}),
            **self._described,
            **fixed,
            **(initial or {}),
        }
        origin = stored_origin(self.definition, self.database)
        attributes |= {} if origin is None else {ORIGIN: origin}
        key = self.database.create_run(name, attributes)
        stored = self.database.attributes(key.study_id)
        if stored.get("study") != name.study:
            raise StudyChanged(f"{name} is a study that something else made in {self.database.name}: rename it there")
        changed = [given for given in fixed if stored.get(given) != fixed[given]]
        if changed:
            raise StudyChanged(f"{name} was made with another {changed[0].removeprefix('hash_')}: rename the sampler")
        if stored.get("budget", 0) < budget or stored.get("stopped"):
            self.database.set_attributes(key, {"budget": max(budget, stored.get("budget", 0)), "stopped": None})
        if origin is not None and stored.get(ORIGIN) != origin:  # its script was moved
            self.database.set_attributes(key, {ORIGIN: origin})
        return key

    @property
    def _described(self) -> dict[str, Any]:
        """What a comparison must know of the definition, for who has the database alone; short, as all attributes."""
        definition = self.definition
        size = min(definition.space.grid_size, 2**53)
        return {"grid_size": size, "n_start": len(definition.start), "margin": definition.margin, "n_test": self.n_test}

    def _settle_version(self) -> int:
        """The version of the study whose runs were made with these hashes; 1 where there are no runs."""
        for number, hashes in self._same.items():
            self.hashes = hashes  # as they are stored: an earlier version of this package may have written them
            return number
        if not self._known:
            return 1
        latest = max(self._known)
        if self._may_begin_anew:
            _refuse_while_recorded(self.definition.name, latest, self.database)
            return latest + 1
        stored, ours = self._known[latest], self.definition.hashes(self._data, self._known[latest], today=self._today)
        changed = [key for key in ours if stored.get(key) != ours[key]]
        raise StudyChanged(
            f"{self.definition.name} changed since its runs in {self.database.name} were made: {', '.join(changed)}. "
            f"Undo the change, or use --new-version to start {self.definition.name}@{latest + 1} (results that are "
            "still valid are carried over)."
        )

    # --- whether stored scores can be reproduced ---

    def check_stored(self, splits: Sequence[int], *, sampler: str | None = None, seed: int = 0) -> str | None:
        """Evaluate stored trials again before they are continued or reused, within :func:`allowance`.

        Where a version of the study does not give its stored scores any more, an earlier one with the same hashes
        that does is meant; where there is none, a new one begins if that was asked for.

        Args:
            splits: whose stored trials are to be used; the references of as many as there is time for are evaluated.
            sampler, seed: of the run that is to be continued, of which the cheapest trial is evaluated too.

        Returns:
            A line that says what could not be checked, or None.

        Raises:
            StudyChanged: a stored score is not what the same configuration gives now.
        """
        failed: Reproduction | None = None
        for number, hashes in (self._same or {self.version: self.hashes}).items():
            self.version, self.hashes = number, hashes
            names = [self.name("reference", split, 0) for split in splits]
            if sampler is not None:
                names.insert(1, self.name(sampler, splits[0], seed))
            found, note = self._reproduce(names)
            if found is None:
                return note
            failed = failed or found
        assert failed is not None  # every version was found wanting
        anew = max(self._known) + 1
        if self._may_begin_anew:
            _refuse_while_recorded(self.definition.name, anew - 1, self.database)
            self.version, self._begun_anew = anew, self._begun_anew | {anew}
            self.hashes = self._today
            return None
        raise StudyChanged(
            f"{self.definition.name} no longer gives its stored scores: {failed.sentence}. "
            f"{UNSEEN}{self._changed_versions(failed)}. Undo its change, or use --new-version to start "
            f"{self.definition.name}@{anew}, which reuses nothing."
        )

    @property
    def _versions(self) -> dict[str, str]:
        return {**versions(), **self.definition.distributions}

    def _changed_versions(self, failed: Reproduction) -> str:
        """The libraries that are others than when a trial was stored, for people; empty where none is."""
        return changed_versions(self.database.run_attributes(failed.trial.rpartition("#")[0]), self._versions)

    def _reproduce(self, names: Sequence[RunName]) -> tuple[Reproduction | None, str | None]:
        """The first stored score of these runs that does not hold, and what there was no time for."""
        stored = {name: self.database.timed_trials(str(name)) for name in dict.fromkeys(names)}
        left = allowance(sum(trial.seconds for trials in stored.values() for trial in trials))
        too_long: list[TimedTrial] = []
        n_checked = 0
        for name, trials in stored.items():
            if not trials:
                continue
            cheapest = min(trials, key=lambda trial: (trial.fold_seconds, trial.number))
            if cheapest.fold_seconds > left:
                too_long.append(cheapest)
                continue
            left -= cheapest.fold_seconds
            n_checked += 1
            found = self.reproduce(name, cheapest.number, folds=1)
            if found is not None and not found.holds:
                return found, None
        if n_checked or not too_long:
            return None, None
        seconds = min(trial.fold_seconds for trial in too_long)
        return None, (
            f"{self.definition.name}: stored scores were not checked, because one fold takes about "
            f"{format_duration(seconds)}; hpo doctor --evaluate checks them"
        )

    def reproduce(self, name: RunName, number: int, *, folds: int | None = None) -> Reproduction | None:
        """Evaluate a stored trial again in this process, up to the first fold that does not give its stored score.

        Args:
            name, number: of the trial.
            folds: how many of its first folds; None is all of them.

        Returns:
            The last fold that was evaluated; None where the trial is gone, or has no fold scores.
        """
        trial = self.database.trial(str(name), number)
        if trial is None or trial.state != TrialState.COMPLETE:
            return None
        threads = self.database.run_attributes(str(name)).get("threads")  # sums differ with them in their last digit
        problem = self.problem(name.split)
        with clear_reading(self.database.name):  # something else may have written hyperparameters of its own
            used = problem.used(None if name.sampler == "reference" else trial.params)
        found = None
        for fold, score in sorted(trial.intermediate_values.items())[:folds]:

            def evaluate(fold: int = fold) -> float | str:
                with kept(), threadpool_limits(threads):
                    (result,) = evaluate_folds(problem, used, [fold])
                return result.error or float(result.scores[problem.metric])

            found = reproduce(f"{name}#{number}", fold, score, evaluate)
            if not found.holds:
                break
        return found

    def evaluations(self, split: int) -> dict[str, str]:
        """Key of each configuration that is COMPLETE in the context of a split -> where: ``run#number``."""
        return self.database.evaluations(self.context(split))

    def reference(self, split: int) -> FrozenTrial | None:
        """The trial of the estimator's usual hyperparameters on this split, where it has been evaluated."""
        return self.database.trial(str(self.name("reference", split, 0)), 0)

    def reference_scores(self, split: int, threads: int) -> tuple[float | str, ...]:
        """Scores of the reference's folds, evaluated in this process and not stored; an error ends them."""
        problem = self.problem(split)
        with kept(), threadpool_limits(threads):
            folds = list(evaluate_folds(problem, problem.used(None), range(problem.n_folds)))
        return tuple(fold.error or float(fold.scores[problem.metric]) for fold in folds)

    def reference_seconds(self, split: int) -> float | None:
        """What it took to fit and score the reference, or None where it has not been evaluated."""
        reference = self.reference(split)
        return (
            None if reference is None else reference.user_attrs["fit_seconds"] + reference.user_attrs["score_seconds"]
        )


def _versions(
    definition: StudyDefinition, data: Data, database: StudyDatabase, today: Mapping[str, str]
) -> tuple[dict[int, dict[str, str]], dict[int, dict[str, str]]]:
    """The hashes of every version of a study that has runs, and of those that the definition made, the newest first."""
    known = database.version_hashes(definition.name)
    ours = {number: definition.hashes(data, known[number], today=today) for number in sorted(known, reverse=True)}
    return known, {number: hashes for number, hashes in ours.items() if hashes == known[number]}


def _refuse_while_recorded(study: str, version: int, database: StudyDatabase) -> None:
    """Raise RunInUse where a process records a run of the version that is to be followed by a new one."""
    versioned = RunName(study, version, "", 0, 0).versioned_study
    for run in sorted(database.held_runs()):
        if run.startswith(f"{versioned}/"):
            with contextlib.suppress(UnknownRun), database.locked(database.run_key(run)):
                pass
