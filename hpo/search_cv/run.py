"""The run behind a SearchCV: candidates proposed in order, what scikit-learn says of them, and what is stored."""

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial
from sklearn.utils.random import sample_without_replacement

from hpo.database.records import RunKey, TrialRecord
from hpo.database.rescue import KnownRun, kept_aside
from hpo.database.run_name import RunName
from hpo.database.study_database import StudyDatabase, as_database
from hpo.errors import DatabaseLost, InvalidDefinition, RunInUse, StudyChanged, UnknownRun
from hpo.evaluation.results import LearningCurve
from hpo.fingerprint.hashing import OLD_HASHES, Fingerprint, fingerprint, hash_as_stored
from hpo.json_text import from_json
from hpo.runs.optuna_studies import Callback, Callbacks
from hpo.runs.stopping import RunOptions, Told
from hpo.samplers.ask_tell import Proposal, WorkingStudy
from hpo.samplers.pruning import Pruning, Watched
from hpo.samplers.table import Sampler
from hpo.search_cv.folds import Fold, evaluation_of, fold_result, one_score, stored_fold
from hpo.search_cv.kept import KeptRun
from hpo.search_cv.spaces import CandidateSpace
from hpo.study.definition import changed_versions, versions
from hpo.study.hyperparameters import Configuration
from hpo.units import Metric

DEFAULT_CANDIDATES = 50
_TOGETHER = 4  # candidates that race side by side
_BETWEEN_TRIES = 0.2  # seconds
_FOLDS = "folds"  # attribute of a trial: what scikit-learn said of each fold


@dataclass(frozen=True)
class Candidate:
    """A configuration, and its parameters as ``set_params`` takes them; equal ones share a key."""

    key: str
    params: dict[str, Any]


class SearchRun:
    """One search, from its stored candidates to its end; a context in which nobody else records it.

    Attributes:
        candidates: all that were proposed, in order, the stored ones first.
        outs: key -> fold -> what scikit-learn's ``_fit_and_score`` returned, the first folds of those pruned.
        metric: of several, the name of the one that the sampler is told; None is the first.
        asked: (key, folds) of what is being fitted now.
        n_seen: how many fits scikit-learn's own ``fit`` has seen.
        pruning: of the candidates told, or None.
        note: what is said before the first fit, or None.
        results: ``cv_results_``, filled at the end.
    """

    def __init__(
        self, space: CandidateSpace, sampler: Sampler, *, n_trials: int | None, n_folds: int, metric: str | None,
        scoring: Any, seed: int | None, database: Any, name: str, data: Any, made_with: Mapping[str, Any],
        ending: RunOptions, start: Sequence[Configuration] = (), callbacks: Sequence[Callback] = (),
        new_version: bool = False, begins_anew: bool = False,
    ) -> None:  # fmt: skip
        self._space, self._sampler, self.n_folds = space, sampler, n_folds
        self.metric, self._scoring = metric, scoring
        self._start, self._callbacks_given = list(start), callbacks
        self._may_begin_anew, self._begins_anew = new_version, begins_anew
        self.note: str | None = None
        self.trial_timeout = ending.trial_timeout
        self._ending = Told(ending)
        self._cells = space.cells() if space.is_grid and (sampler.is_grid or sampler.search_label == "random") else None
        if sampler.is_grid:
            size = len(self._cells) if self._cells is not None else space.space.grid_size
            size += 0 if self._cells is not None else sum(not space.space.is_cell(given) for given in self._start)
            n_trials = size if n_trials is None else min(n_trials, size)
        elif self._cells is not None and n_trials is not None:
            n_trials = min(n_trials, len(self._cells))
        assert n_trials is not None
        self._n_trials = n_trials
        self.candidates: list[Candidate] = []
        self.outs: dict[str, dict[int, Fold]] = {}
        self.asked: list[tuple[str, list[int]]] = []
        self.failure: ValueError | None = None
        self.results: dict[str, Any] = {}
        self.n_seen = self.n_resumed = self._n_told_here = 0
        self._told: set[str] = set()
        self._numbers: dict[str, int] = {}  # key -> trial
        self._records: list[TrialRecord] = []
        self._stored: list[TrialRecord] = []
        self._attributes: dict[str, Any] = {}
        self._pruned: dict[str, str] = {}
        self._database: StudyDatabase | None = None
        self._is_own = not isinstance(database, StudyDatabase)
        self._key, self._lock = RunKey(name, -1, ""), contextlib.ExitStack()
        self._is_random = not sampler.is_grid
        if database is None:
            seed = int(np.random.randint(2**31 - 1)) if seed is None else seed
            self.name = RunName(name, 1, sampler.label, 0, seed)
        else:
            self._made_with = {**made_with, "data": data}
            prints = {key: hash_as_stored(value, self._part(key, name)) for key, value in self._made_with.items()}
            self._database = as_database(database)  # last: bad input must not leave an empty database behind
            named, is_drawn = self._find(name, prints["data"].digest, seed)
            self.name = self._versioned(named, prints)
            self._store(prints, is_drawn=is_drawn)

        # What is random comes from the random state alone, whatever the search and its data are called.
        self._seeded = RunName("SearchCV", 1, self.name.sampler, 0, self.name.seed)
        pruner = sampler.pruner
        self.pruning = None if pruner is None else Pruning(pruner, str(self._seeded), n_folds)

    def _named(self, study: str, seed: int | None) -> tuple[RunName, bool]:
        """The run's name: with the seed that was drawn for it, where none is given."""
        assert self._database is not None
        if seed is not None:
            return RunName(study, 1, self._sampler.label, 0, seed), False
        for text, is_drawn in self._database.attribute_of_runs("seed_is_drawn").items():
            with contextlib.suppress(Exception):
                found = RunName.parse(text)
                if is_drawn and (found.study, found.sampler) == (study, self._sampler.label):
                    return replace(found, version=1), True
        return RunName(study, 1, self._sampler.label, 0, int(np.random.randint(2**31 - 1))), True

    def _versioned(self, named: RunName, prints: Mapping[str, Fingerprint]) -> RunName:
        """The version of the run that was made with the same, the latest of several; or the one that begins now.

        Raises:
            StudyChanged: more than the space is another, and no new version was asked for.
        """
        assert self._database is not None
        known: dict[int, RunName] = {}
        for text in self._database.attribute_of_runs("study"):
            with contextlib.suppress(UnknownRun):
                found = RunName.parse(text)
                if replace(found, version=1) == replace(named, version=1):
                    known[found.version] = found
        if not known:
            return named
        latest = max(known)
        changed: list[str] = []
        for number in sorted(known, reverse=True):
            changed = self._changed(known[number], prints)
            if not changed and not self._begins_anew:
                return known[number]
        changed = self._changed(known[latest], prints)
        new = replace(named, version=latest + 1)
        if not (self._begins_anew or self._may_begin_anew or changed == ["space"]):
            raise StudyChanged(
                f"{known[latest]} in {self._database.name} was made with another {changed[0]}: give new_version=True "
                f"to begin {new.versioned_study}, which reuses nothing, give SearchCV another name, or undo the change"
            )
        what = f"another {changed[0]}" if changed else "scores that it no longer gives"
        self.note = f"{known[latest]} was made with {what}: {new} begins, which reuses nothing of it"
        return new

    def _changed(self, name: RunName, prints: Mapping[str, Fingerprint]) -> list[str]:
        """What a stored run was made with that is another now."""
        assert self._database is not None
        stored = self._database.run_attributes(str(name))
        changed = []
        for key, found in prints.items():
            if stored.get(f"hash_{key}") not in {None, found.digest}:
                part = self._part(key, name.study)
                if hash_as_stored(self._made_with[key], part, stored[f"hash_{key}"]).digest != stored[f"hash_{key}"]:
                    changed.append(key)
        return changed

    @staticmethod
    def _part(key: str, name: str) -> str:
        return "the data" if key == "data" else f"the {key} of {name}"

    def _find(self, name: str, data_hash: str, seed: int | None) -> tuple[RunName, bool]:
        """The run's name, which has a hash of the data in it; that of a run from before, whose hash was another."""
        assert self._database is not None
        found = self._named(f"{name}-{data_hash[:8]}", seed)
        studies = set(self._database.attribute_of_runs("study").values())
        if found[0].study in studies or not any(str(study).startswith(f"{name}-") for study in studies):
            return found
        with contextlib.suppress(InvalidDefinition):  # what those of before could not hash
            before = fingerprint(self._made_with["data"], "the data", version=OLD_HASHES)
            if f"{name}-{before[:8]}" in studies:
                return self._named(f"{name}-{before[:8]}", seed)
        return found

    def _store(self, prints: Mapping[str, Fingerprint], *, is_drawn: bool) -> None:
        assert self._database is not None
        metric = self._shown_metric()
        known = self._database.run_attributes(str(self.name))
        for key, found in prints.items():
            stored = known.get(f"hash_{key}")
            if stored not in {None, found.digest}:
                name = self._part(key, self.name.study)
                prints = {**prints, key: hash_as_stored(self._made_with[key], name, stored)}
        hashes = {key: found.digest for key, found in prints.items()}
        self._versions = dict(versions())
        for key in ("estimator", "space", "scoring"):
            self._versions |= prints[key].distributions
        attributes = {
            "study": self.name.study, "version": self.name.version, "sampler": self.name.sampler,
            "split": 0, "seed": self.name.seed,
            "budget": self._n_trials, "metric": metric.key, "metric_sign": metric.sign,
            "context": fingerprint([dict(hashes), "SearchCV"]), "seed_is_drawn": is_drawn,
            **{f"hash_{key}": value for key, value in hashes.items()},
            **{f"version_{key}": value for key, value in self._versions.items()},
        }  # fmt: skip
        self._key = self._database.create_run(self.name, attributes)
        stored = self._database.attributes(self._key.study_id)
        if int(stored.get("budget") or 0) < self._n_trials:
            self._database.set_attributes(self._key, {"budget": self._n_trials})

    def _shown_metric(self) -> Metric:
        scoring = self._scoring
        if isinstance(scoring, (list, tuple, dict, set)):
            return Metric.of(self.metric or str(next(iter(scoring))))
        return Metric("score", 1) if scoring is None else Metric.of(scoring)

    # --- as a context: the lock, and what is stored ---

    def __enter__(self) -> "SearchRun":
        stored: list[FrozenTrial] = []
        state: Mapping[str, Any] = {}
        if self._database is not None:
            while True:  # whoever records it, as an outer fold beside this one, is waited for
                try:
                    self._lock.enter_context(self._database.holding(self._key))
                    break
                except RunInUse:
                    time.sleep(_BETWEEN_TRIES)
            stored = self._database.optuna_trials(self._key.study_id)
            state = self._database.sampler_state(self._key.study_id)
            self._attributes = self._database.attributes(self._key.study_id)
        start = self._cells or []
        if self._cells and self._is_random:  # from lists alone scikit-learn draws without replacement, and so do we
            drawn = sample_without_replacement(len(start), self._n_trials, random_state=self.name.seed)
            start = [start[i] for i in drawn]
        if self._start:
            start = [*self._start, *(cell for cell in start if cell not in self._start)][: self._n_trials]
        self._working = WorkingStudy(
            self._seeded, self._space.space, self._sampler, start=start, stored=stored, sampler_state=state
        )
        curves: Mapping[int, Mapping[int, LearningCurve]] = {}
        if self._database is not None and self.watches_training:
            curves = self._database.curves(self._key.study_id)
        self._stored = [TrialRecord.of_stored(trial, curves.get(trial.number, {})) for trial in stored]
        for trial in stored:
            self._remember(trial, curves.get(trial.number, {}))
        self.n_resumed = len(stored)
        self._callbacks = Callbacks(self._callbacks_given, str(self.name), stored)
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def _remember(self, trial: FrozenTrial, curves: Mapping[int, LearningCurve]) -> None:
        """A candidate that was stored."""
        candidate = Candidate(str(trial.user_attrs["configuration"]), self._space.params(trial.params))
        self.candidates.append(candidate)
        self._told.add(candidate.key)
        self._numbers.setdefault(candidate.key, trial.number)
        self._ending.add(trial)
        if _FOLDS in trial.user_attrs:
            folds = from_json(trial.user_attrs[_FOLDS])
            if isinstance(folds, list) and all(isinstance(fold, dict) for fold in folds):
                self.outs[candidate.key] = dict(enumerate(folds))
        if "pruned_at" in trial.user_attrs:
            self._pruned[candidate.key] = str(trial.user_attrs["pruned_at"])
        if self.pruning is not None:
            self.pruning.add(trial, curves)

    def cheapest(self) -> tuple[Candidate, float, float] | None:
        """The known candidate whose first fold took least, the score of that fold, and its seconds; or None."""
        sound: list[tuple[float, Candidate, Fold]] = []
        for candidate in {candidate.key: candidate for candidate in self.candidates}.values():
            out = self.outs.get(candidate.key, {}).get(0)
            if out is not None and not out["fit_error"] and not out.get("is_pruned"):
                sound.append((float(out["fit_time"]) + float(out["score_time"]), candidate, out))
        if not sound:
            return None
        seconds, candidate, first = min(sound, key=lambda found: found[0])
        return candidate, one_score(first["test_scores"], self.metric), seconds

    @property
    def changed_versions(self) -> str:
        """The libraries that are others than when the run was made, for people; empty where none is."""
        assert self._database is not None
        return changed_versions(self._database.run_attributes(str(self.name)), self._versions)

    @property
    def stored_seconds(self) -> float:
        """What the folds that are known took."""
        return sum(
            float(out["fit_time"]) + float(out["score_time"]) for folds in self.outs.values() for out in folds.values()
        )

    # --- the search ---

    @property
    def watches_training(self) -> bool:
        """Whether a pruner decides while a fold is trained."""
        return self._sampler.pruner is not None and not self._sampler.pruner.watches_folds

    @property
    def is_adaptive(self) -> bool:
        """Whether proposals depend on what was told."""
        return self._sampler.kind.is_adaptive

    @property
    def n_left(self) -> int:
        """How many candidates are still to be proposed."""
        return max(self._n_trials - len(self.candidates), 0)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to propose, or what was told ends it."""
        if self.candidates and self.ended_by is not None:
            return True
        if self._cells is not None:
            return not self.n_left
        return not self.n_left or (self._working.is_exhausted and bool(self.candidates))

    @property
    def ended_by(self) -> str | None:
        """``target``, ``patience`` or ``callback``, where what was told ends the search."""
        return "callback" if self._callbacks.wants_end else self._ending.reason_to_stop()

    def propose(self, n: int) -> list[Proposal]:
        """The next candidates, at most ``n``."""
        batch: list[Proposal] = []
        for _ in range(min(n, self.n_left)):
            if self._cells is None and self._working.is_exhausted:
                break
            proposal = self._working.propose()
            assert proposal.configuration is not None  # a sampler proposed it
            batch.append(proposal)
            self._numbers.setdefault(proposal.key, proposal.number)
            self.candidates.append(Candidate(proposal.key, self._space.params(proposal.configuration)))
        return batch

    def unknown(self, batch: Sequence[Proposal]) -> list[Candidate]:
        """Those of a batch that must be fitted: neither stored nor equal to an earlier one."""
        keys = {proposal.key for proposal in batch} - self.outs.keys()
        return list({candidate.key: candidate for candidate in self.candidates if candidate.key in keys}.values())

    def still_in(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those that were not pruned, after the folds that are known; what follows the fold that decided is forgotten.

        So it makes no difference how many folds were fitted side by side.
        """
        assert self.pruning is not None
        return [candidate for candidate in candidates if not self._is_pruned(self.pruning, candidate.key)]

    @property
    def n_racing(self) -> int:
        """How many of the next candidates race side by side; cuts and workers change nothing of what is pruned."""
        return 1 if self.is_adaptive else _TOGETHER - len(self.candidates) % _TOGETHER

    def _n_told(self, key: str) -> int:
        """How many candidates had been told when those that race with this one were proposed."""
        number = self._numbers[key]
        return number if self.is_adaptive else number - number % _TOGETHER

    def _is_pruned(self, pruning: Pruning, key: str) -> bool:
        known = self.outs.get(key, {})
        results = [fold_result(known[fold], self.metric) for fold in sorted(known)]
        for n in range(1, len(results) + 1):
            where = pruning.pruned_at(self._n_told(key), results[:n])
            if where is not None:
                self._pruned[key] = where
                self.outs[key] = {fold: known[fold] for fold in range(n)}
                return True
        return False

    def watching(self, key: str, fold: int) -> Watched:
        """What decides while a fold of a proposed candidate is trained."""
        assert self.pruning is not None
        watched = self.pruning.watching(self._n_told(key), self._numbers[key], fold)
        assert watched is not None  # asked only of a pruner that watches training
        return watched

    def take_all(self, out: Sequence[Fold]) -> None:
        """As :meth:`take`; ``out`` has everything since the fit began."""
        new = out[self.n_seen :]
        self.n_seen = len(out)
        self.take(new)

    def take(self, new: Sequence[Fold]) -> None:
        """Note what scikit-learn said of what it was asked."""
        position = 0
        for key, folds in self.asked:
            for fold in folds:
                self.outs.setdefault(key, {})[fold] = new[position]
                position += 1
        self.asked = []

    def take_failure(self, failure: ValueError, scores: Any) -> None:
        """Note that every fit that scikit-learn was asked for has failed, for which it raises."""
        for key, folds in self.asked:
            for fold in folds:
                out = {"fit_error": str(failure), "test_scores": scores, "n_test_samples": 0}
                self.outs.setdefault(key, {})[fold] = {
                    **out,
                    "fit_time": 0.0,
                    "score_time": 0.0,
                    "train_scores": scores,
                }
        self.asked, self.failure = [], failure

    @property
    def first_sound(self) -> tuple[Candidate, int] | None:
        """The first candidate, and fold, whose fit did not fail."""
        sound = (
            (c, fold) for c in self.candidates for fold, out in self.outs.get(c.key, {}).items() if not out["fit_error"]
        )
        return next(sound, None)

    def tell(self, batch: Sequence[Proposal]) -> None:
        """Tell the sampler of a batch whose folds are known, and store it."""
        for proposal in batch:
            outs, is_again = self.outs[proposal.key], proposal.key in self._told
            curves = {} if is_again else {fold: out["curve"] for fold, out in outs.items() if out.get("curve")}
            folds = [outs[fold] for fold in sorted(outs)]
            evaluation = evaluation_of(folds, self.metric, curves, self._pruned.get(proposal.key))
            evaluation = evaluation.within(self.trial_timeout, note=" (SearchCV interrupts no fit)")
            record = self._working.tell(
                proposal,
                evaluation,
                duplicate_of=f"{self.name}#{self._numbers[proposal.key]}" if is_again else None,
                more={_FOLDS: json.dumps([stored_fold(out) for out in folds])},
            )
            self._records.append(record)
            self._record(record)
            if self.pruning is not None:
                self.pruning.add(record.trial, curves)
            self._told.add(proposal.key)
            self._n_told_here += 1
            self._ending.add(record.trial)
            self._callbacks.told(record.trial)
            if self.ended_by is not None:  # those begun beside it are as if they had never been
                del self.candidates[self.n_resumed + self._n_told_here :]
                return

    def _record(self, record: TrialRecord) -> None:
        if self._database is None:
            return
        try:
            self._database.record(self._key, record)
        except DatabaseLost as lost:
            records = [*self._stored, *self._records]
            known = KnownRun(self.name, self._attributes, records, {}, self._working.sampler_state)
            raise kept_aside(self._database, [known], lost) from lost

    # --- afterwards ---

    def shown(self, candidate: Candidate, fold: int, missing: Fold) -> Fold:
        """A fold as ``cv_results_`` shows it: without scores where it was not fitted to its end."""
        out = self.outs[candidate.key].get(fold, missing)
        hidden = missing.keys() - {"fit_time", "score_time"} if out.get("is_pruned") else set()
        return {name: missing[name] if name in hidden else out[name] for name in missing}

    def kept(self) -> KeptRun:
        """What a fitted search keeps of it; can be pickled."""
        if self._database is None:
            return KeptRun(self.name, None, tuple(self._records), self._shown_metric())
        return KeptRun(self.name, self._database.url, (), self._shown_metric())
