"""Comparisons as the database has them: found among the stored runs alone, without the study's definition."""

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import pandas as pd

from hpo.comparison.looks import LOOKS, looks_of
from hpo.comparison.plan import Plan, Subject
from hpo.comparison.result import Comparison
from hpo.comparison.worth import rows_by_place
from hpo.database.stored_runs import StoredRun
from hpo.database.study_database import StudyDatabase
from hpo.errors import UnknownSampler
from hpo.runs.origin import ORIGIN, study_words
from hpo.samplers.table import RESERVED, SAMPLERS, Sampler, SamplerKind
from hpo.study.space import SearchSpace
from hpo.units import Metric, counted

N_NAMED = 3  # runs that are named where many are left out

Pair = tuple[int, int]


@dataclass(frozen=True)
class Standing:
    """How far the comparison of samplers on one version of a study is.

    Attributes:
        study: its name, with its version from 2 on.
        runs: all of its runs, in the order they were created.
        labels: the samplers that are compared, in the order of their first run; fewer than two where nothing is.
        trials: the budget that they have in common.
        resplit: whether each repetition has a split of its own.
        pairs: (split, seed) of the repetitions that were begun.
        complete: those of ``pairs`` in which every sampler has used its budget.
        left_out: what does not take part and why, in words.
    """

    study: str
    runs: tuple[StoredRun, ...]
    labels: tuple[str, ...] = ()
    trials: int = 0
    resplit: bool = True
    pairs: tuple[Pair, ...] = ()
    complete: tuple[Pair, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def metric(self) -> Metric:
        """How values are shown."""
        return self.runs[0].metric

    def run(self, label: str, pair: Pair) -> StoredRun | None:
        """The run of a sampler in a repetition, where there is one."""
        return self._by_place.get((label, *pair))

    @functools.cached_property
    def _by_place(self) -> dict[tuple[str, int, int], StoredRun]:
        return {(run.name.sampler, run.name.split, run.name.seed): run for run in self.runs}


def standings(runs: Iterable[StoredRun]) -> dict[str, Standing]:
    """Study (with its version) -> how far its comparison is, for all runs of a database."""
    groups: dict[str, list[StoredRun]] = defaultdict(list)
    for run in runs:
        groups[run.name.versioned_study].append(run)
    return {study: standing(study, group) for study, group in groups.items()}


def standing(study: str, runs: Sequence[StoredRun]) -> Standing:
    """Which of a study's runs are compared.

    The repetitions are those of a comparison: split r and seed r, or split 0 and seed r. The budget is the largest
    that at least half of the repetitions have in two or more samplers (a single longer run does not take the others
    out), of those with a complete repetition where there is one. A sampler takes part from half as many
    repetitions as the one with the most. Runs whose trials were proposed with a lag are another sampler than runs
    without.
    """
    searching = [run for run in runs if run.name.sampler not in RESERVED]
    lagging = [run for run in searching if run.lag > 1]
    own = [run for run in searching if run.lag <= 1]
    resplit = sum(r.name.split == r.name.seed > 0 for r in own) >= sum(r.name.split == 0 < r.name.seed for r in own)
    repeated = [run for run in own if run.name.split == (run.name.seed if resplit else 0)]
    left_out = _named(lagging, "proposed with a lag, as hpo run --workers does")
    left_out += _named([run for run in own if run not in repeated], "on other splits or seeds than the repetitions")
    found: Standing | None = None
    for trials in _budgets(repeated):
        settled = _at_budget(study, runs, repeated, trials, resplit, left_out)
        if settled.complete or found is None:
            found = settled
        if found.complete:
            break
    return found or Standing(study, tuple(runs), left_out=tuple(left_out))


def _budgets(runs: Sequence[StoredRun]) -> list[int]:
    """Budgets that two samplers share in at least half of the repetitions that any budget has; the largest first."""
    support: dict[int, int] = {}
    for trials in {run.budget for run in runs}:
        samplers = _samplers_by_pair(run for run in runs if run.is_planned(trials))
        support[trials] = sum(len(labels) > 1 for labels in samplers.values())
    most = max(support.values(), default=0)
    return sorted((trials for trials, n in support.items() if n and 2 * n >= most), reverse=True)


def _at_budget(
    study: str, runs: Sequence[StoredRun], own: Sequence[StoredRun], trials: int, resplit: bool, left_out: list[str]
) -> Standing:
    planned = [run for run in own if run.is_planned(trials)]
    n_planned: dict[str, int] = defaultdict(int)
    for run in planned:
        n_planned[run.name.sampler] += 1
    most = max(n_planned.values())
    labels = tuple(label for label, n in n_planned.items() if 2 * n >= most)
    few = [f"{label}: {n} of {counted(most, 'repetition')}" for label, n in n_planned.items() if label not in labels]
    short = [run for run in own if not run.is_planned(trials)]
    pairs = tuple(sorted(_samplers_by_pair(run for run in planned if run.name.sampler in labels), key=lambda p: p[1]))
    done = _samplers_by_pair(run for run in planned if run.is_done(trials))
    complete = tuple(pair for pair in pairs if done.get(pair, set()) >= set(labels))
    budget = f"of another budget than {counted(trials, 'trial')}"
    said = (*left_out, *few, *_named(short, budget))
    return Standing(study, tuple(runs), labels, trials, resplit, pairs, complete, said)


def _samplers_by_pair(runs: Iterable[StoredRun]) -> dict[Pair, set[str]]:
    found: dict[Pair, set[str]] = defaultdict(set)
    for run in runs:
        found[run.name.split, run.name.seed].add(run.name.sampler)
    return found


def _named(runs: Sequence[StoredRun], why: str) -> list[str]:
    if not runs:
        return []
    names = ", ".join(str(run.name) for run in runs[:N_NAMED]) + (", ..." if len(runs) > N_NAMED else "")
    return [f"{counted(len(runs), 'run')} {why}: {names}"]


def read_stored(database: StudyDatabase, standing: Standing) -> Comparison:
    """The comparison of the complete repetitions, of which there is at least one, from what is stored alone.

    Nothing is trained, and no test row is opened: test scores are those that ``hpo compare`` has stored.
    """
    baseline = "random" if "random" in standing.labels else None
    subject = _subject(standing)
    samplers = tuple(map(_sampler, standing.labels))
    plan = Plan(
        samplers, len(standing.pairs), standing.trials, baseline, subject.margin, standing.resplit, pairs=standing.pairs
    )
    trials = database.trials(study=standing.study)
    pairs = pd.MultiIndex.from_arrays([trials["split"], trials["seed"]])
    trials = trials[pairs.isin(list(standing.complete)) | (trials["sampler"] == "reference")]
    scores = database.test_scores(standing.runs[0].name.study)
    splits = {run.attributes.get("context"): run.name.split for run in standing.runs}
    rows = zip(scores["context"], scores["configuration"], scores["value"], strict=True)
    tests = {(splits[context], key): value for context, key, value in rows if context in splits}
    made = dict(_made(standing, plan, subject, trials, len(scores), database.name))
    # Whoever watches it grow looks again with each repetition.
    looks = looks_of(database, standing.study, plan, len(standing.complete))
    made["looks"] = LOOKS[looks]
    return Comparison(
        subject,
        standing.study,
        plan,
        trials,
        tests,
        made=made,
        n_opened=len(scores),
        rows=rows_by_place(scores, splits),
        looks=looks,
        study_words=study_words(standing.runs[-1].name.study, standing.runs[-1].attributes.get(ORIGIN), database),
    )


def _subject(standing: Standing) -> Subject:
    """What the last run of the study says about its definition; runs of older versions of this package say less."""
    stored = standing.runs[-1].attributes
    return Subject(
        standing.metric, int(stored.get("grid_size") or 0), int(stored.get("n_start") or 0), stored.get("margin")
    )


def _sampler(label: str) -> Sampler:
    """The sampler of a label; one that is not in the table here, such as somebody's own, is its name alone."""
    return Sampler(label, SAMPLERS.get(label.partition("(")[0], _UNKNOWN), {})


def _cannot_build(space: SearchSpace, seed: int, options: Mapping[str, Any]) -> NoReturn:
    raise UnknownSampler("a sampler that is known from the database alone cannot propose anything")


_UNKNOWN = SamplerKind("known from the database alone", _cannot_build)


def _made(
    standing: Standing, plan: Plan, subject: Subject, trials: pd.DataFrame, n_opened: int, database: str
) -> Mapping[str, str]:
    """How the comparison came about, as far as the database knows."""
    taking_part = [run for run in standing.runs if run.name.sampler in standing.labels]
    stored = standing.runs[-1].attributes
    names = dict.fromkeys(key for run in taking_part for key in run.attributes if key.startswith("version_"))
    versions = {
        name.removeprefix("version_"): sorted({str(run.attributes.get(name)) for run in taking_part}) for name in names
    }
    rows = "deals the same development rows into training and validation rows of its own, the same for all samplers"
    rows = rows if plan.resplit else "has the same rows"
    own = trials[trials["sampler"].isin(standing.labels)]
    opened = f"scored for {counted(n_opened, 'configuration')} of this study" if n_opened else "not opened"
    n_test = stored.get("n_test")
    margin = "none: nothing is called equivalent" if subject.margin is None else f"{subject.margin:g}"
    made = {
        "taken from": "what the database holds of its runs; the study's script was not read, and nothing was trained",
        "repetitions": f"each has its own seed of the sampler, and {rows}",
        "sealed test": opened if n_test is None else f"{counted(n_test, 'row')}, {opened}",
        "fixed before looking": f"alpha {plan.alpha:g}; margin {margin}; losses that agree to 9 digits tie",
        "versions": ", ".join(f"{name} {' and '.join(found)}" for name, found in versions.items()),
        "hashes": ", ".join(
            f"{key.removeprefix('hash_')} {str(value)[:12]}" for key, value in stored.items() if key.startswith("hash_")
        ),
        "made between": f"{own['started'].min():%Y-%m-%d %H:%M} and {own['finished'].max():%Y-%m-%d %H:%M} UTC",
        "database": database,
    }
    if "grid_size" not in stored:
        made["not known"] = "the size of the grid, the margin and the number of test rows: an older hpo made the runs"
    return made
