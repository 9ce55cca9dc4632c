"""The numbers of a comparison of samplers on one study: frames to compute with."""

import functools
import itertools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from hpo.comparison import advice, measures, random_effort
from hpo.comparison.measures import as_losses
from hpo.comparison.plan import Plan, Subject
from hpo.comparison.pruned import pruned
from hpo.comparison.questions import Question, question
from hpo.comparison.questions import frame as questions_frame
from hpo.comparison.random_effort import efforts
from hpo.comparison.statistics.effort import median_interval
from hpo.comparison.verdicts import Rules, judge, withdrawn
from hpo.comparison.worth import REFERENCE, error_of_mean, mean_by_row, rows_of_samplers, worth
from hpo.study.definition import StudyDefinition
from hpo.units import Metric

N_FIRST = 5  # trials that two samplers must not have in common
_VERDICT = ["superiority", "superiority_low", "superiority_high", "p_holm", "verdict"]
_SPEEDUP = random_effort.COLUMNS
_COUNTS = ("trials", "distinct", "failed", "pruned")  # but for what depends on which worker was faster
_COSTS = ("fit_seconds", "score_seconds", "sampler_seconds")


class Findings:
    """The numbers of a comparison on one study, computed once from its trials.

    Values keep the scorer's sign (higher is better); statistics are of losses, their negation.

    Attributes:
        study: name of the study with its version.
        metric: how values are shown.
        plan: samplers, repetitions, trials, baseline, margin, alpha.
        rules: of the verdicts.
        has_test: whether every incumbent was scored on the sealed test rows.
        curves: tidy, one row per trial; see :func:`hpo.comparison.measures.curves`.
        finals: tidy, one row per run; see :func:`hpo.comparison.measures.finals`.
        reference: tidy, one row per split: split, configuration (its key), value, test.
        failures: tidy: sampler, kind, count.
        times: tidy, one row per run; see :func:`hpo.comparison.measures.times`. Empty without random search.
        overtuning: tidy, one row per run; see :func:`hpo.comparison.measures.overtuning`. Empty without test scores.
        made: how it came about: name -> text.
        n_opened_before: how many other configurations of the study were ever scored on the sealed test rows.

    Args:
        definition, study, plan: what was compared; of the definition, what a comparison must know of it is enough.
        trials: of complete repetitions and their references, as :meth:`hpo.StudyDatabase.trials` gives them.
        tests: (split, key of a configuration) -> score on the sealed test rows; NaN where that failed.
        made: as above.
        n_opened: how many configurations of the study were ever scored on the sealed test rows.
        rows: (split, key of a configuration) -> that score row by row, see :mod:`hpo.evaluation.row_scores`; what is
            not there is not known.
        looks: how often verdicts are looked at, as in :class:`hpo.comparison.verdicts.Rules`.
        study_words: what a command is given for the study, and options that follow; by default its name.
    """

    def __init__(
        self,
        definition: StudyDefinition | Subject,
        study: str,
        plan: Plan,
        trials: pd.DataFrame,
        tests: Mapping[tuple[int, str], float],
        *,
        made: Mapping[str, str],
        n_opened: int = 0,
        rows: Mapping[tuple[int, str], measures.Array] | None = None,
        looks: Literal["once", "any", "again"] = "once",
        study_words: Sequence[str] = (),
    ) -> None:
        self._study_words = tuple(study_words) or (study.partition("@")[0],)
        self.study, self.plan, self.made = study, plan, dict(made)
        self._tests, self._rows = tests, rows or {}
        subject = definition if isinstance(definition, Subject) else Subject.of(definition)
        self.metric: Metric = subject.shown_metric
        self.rules = Rules(paired=plan.resplit, margin=plan.margin, alpha=plan.alpha, looks=looks)
        self.grid_size, self.n_start = subject.grid_size, subject.n_start
        own = trials[trials["sampler"].isin(plan.labels) & (trials["number"] < plan.trials)]
        self._pool = trials[trials["sampler"].isin(plan.pool_labels)]
        own = own.assign(repetition=own["seed"].astype(int), split=own["split"].astype(int))
        wanted = pd.MultiIndex.from_tuples(plan.numbers)
        own = own[pd.MultiIndex.from_frame(own[["split", "repetition"]]).isin(wanted)]
        order = own["sampler"].map({label: i for i, label in enumerate(plan.labels)})
        self._trials = own.assign(order=order).sort_values(["order", "repetition", "number"]).drop(columns="order")
        self.curves = measures.curves(self._trials, tests)
        self.finals = measures.finals(self._trials, self.curves)
        self.failures = measures.failures(self._trials)
        self.reference = _reference(trials, set(self.finals["split"]), tests)
        chosen = self._trials[self.curves["is_new"].to_numpy()]
        keys = zip(chosen["split"], chosen["configuration"], strict=True)
        usual = self.reference[self.reference["value"].notna()]
        needed = set(keys) | set(zip(usual["split"], usual["configuration"], strict=True))
        self.has_test = bool(tests) and needed <= tests.keys()
        self.n_opened_before = n_opened - len(needed & tests.keys())
        if plan.random is None:
            self.times = pd.DataFrame(columns=["sampler", "repetition", "target", "hit", "budget"])
        else:
            self.times = measures.times(self.curves, self._trials, plan.random, plan.trials, resplit=plan.resplit)
        self.overtuning = measures.overtuning(self.curves, self._tolerance) if self.has_test else pd.DataFrame()

    # --- frames ---

    @property
    def repetitions(self) -> int:
        """How many are complete."""
        return int(self.finals["repetition"].nunique())

    @property
    def is_cut(self) -> bool:
        """Whether repetitions of the plan are missing, as after a timeout, and would tell more."""
        is_short = self.repetitions < self.plan.repetitions
        return is_short and not (self.plan.until_known and self.repetitions > 1 and self.is_known)

    @functools.cached_property
    def verdicts(self) -> pd.DataFrame:
        """One row per pair; see :func:`hpo.comparison.verdicts.judge`. ``difference`` is of losses."""
        return self.verdicts_at(self.plan.trials)

    def verdicts_at(self, trials: int) -> pd.DataFrame:
        """The verdicts had the budget been this many trials."""
        return self.judged(trials, self.plan.baseline)

    @functools.cached_property
    def worth(self) -> pd.DataFrame:
        """Is tuning worth it? One row per sampler, against the reference on the same split; see ``verdicts``."""
        return worth(*self._against_reference, self.rules)

    @functools.cached_property
    def _against_reference(
        self,
    ) -> "tuple[dict[str, measures.Array], dict[str, measures.Array] | None, dict[str, measures.Array | None]]":
        """Losses on validation and on the test, and those by row, the reference's among them."""
        losses, tests = self.losses(self.plan.trials)
        splits = self.finals.drop_duplicates("repetition").sort_values("repetition")["split"]
        reference = self.reference.set_index("split").reindex(splits)
        losses[REFERENCE] = measures.as_losses(reference["value"])
        if tests is not None:
            tests[REFERENCE] = measures.as_losses(reference["test"])
        places = list(zip(splits, reference["configuration"], strict=True))
        by_row = self.row_losses(self.plan.trials) | {REFERENCE: mean_by_row(places, self._tests, self._rows)}
        return losses, tests, by_row

    def questions(self) -> list[Question]:
        """What is asked, and how far the answers are: is tuning worth it, and each pair."""
        losses, tests, by_row = self._against_reference
        verdicts = self.verdicts.to_dict("records")
        most, found = self.plan.repetitions, []
        if self.has_test:
            own = self.worth[self.worth["sampler"] == self.recommended].to_dict("records")
            found = [(row, replace(self.rules, paired=True, by_test=True), 1) for row in own]
        found += [(row, self.rules, len(verdicts)) for row in verdicts]
        return [
            question(
                row,
                (losses[row["sampler"]], losses[row["against"]]),
                None if tests is None else (tests[row["sampler"]], tests[row["against"]]),
                (by_row.get(row["sampler"]), by_row.get(row["against"])),
                rules,
                n_questions=n,
                most=most,
            )
            for row, rules, n in found
        ]

    @property
    def is_known(self) -> bool:
        """Whether every question has its answer, which may be that more repetitions would hardly tell."""
        return all(one.answer for one in self.questions())

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """One row per sampler, in the plan's order.

        Columns: study, sampler, repetitions, trials (in all), distinct (configurations in each split), failed,
        pruned, median, median_low, median_high (final values over repetitions, 95%), worst, best, test (median on the
        sealed test rows), test_low, test_high (95%, for other rows and repetitions; NaN where not known row by row),
        wins, ties, losses (repetitions against the baseline; NA for itself or without one), superiority,
        superiority_low, superiority_high, p_holm, verdict (against the baseline), speedup, speedup_low, speedup_high,
        speedup_p, dispersion, pool (how many times the trials random search would need, see
        :func:`hpo.comparison.random_effort.random_effort`; P / (1 - P) where all share one split), success_rate,
        time_to_target, restricted_mean, expected_running_time, effort, effort_low, effort_high (see
        :func:`hpo.comparison.measures.time_table`), overtuned (share of repetitions whose last incumbent is worse on
        the test than the first), fit_seconds, score_seconds, sampler_seconds (sums), peak_memory_mb (the largest).
        """
        return _table(self)

    @functools.cached_property
    def efforts(self) -> pd.DataFrame:
        """How many times the trials random search would need, one row per sampler (index), from ranks.

        Columns as of :func:`hpo.comparison.random_effort.random_effort`; empty without random search.
        """
        pools = self.plan.pool_labels if self.plan.random is not None or self.plan.pool > 1 else []
        return efforts(self._pool, self.finals, pools, self.plan.trials)

    @functools.cached_property
    def test_errors(self) -> "pd.Series":
        """How far the mean test score of each sampler may be off, 95%, for other rows and repetitions (index: sampler).

        NaN where the score is not known row by row; the reference's is in it.
        """
        if not self.has_test:
            return pd.Series(dtype=float)
        _, tests, by_row = self._against_reference
        assert tests is not None  # they were scored
        return pd.Series({name: error_of_mean(tests[name], by_row.get(name)) for name in tests}, dtype=float)

    @functools.cached_property
    def time_table(self) -> pd.DataFrame:
        """How soon and how surely the target is reached; see :func:`hpo.comparison.measures.time_table`."""
        random = self.plan.random
        if random is None:
            return pd.DataFrame(index=self.plan.labels, columns=measures.TIME_COLUMNS, dtype=float)
        table = measures.time_table(self.times, self.curves, self._trials, random, resplit=self.plan.resplit)
        return table.reindex(self.plan.labels)

    @functools.cached_property
    def budgets(self) -> pd.DataFrame:
        """Which sampler to use at a smaller budget: one row per budget.

        Columns: trials, choose (sampler), verdict (``real`` where it is shown to be better than the baseline there;
        ``baseline`` where none is), median (of the one to choose).
        """
        rows = []
        for trials in sorted({n for n in (*advice.BUDGETS, self.plan.trials) if n <= self.plan.trials}):
            medians = measures.incumbents_at(self.curves, trials).median()
            chosen = self._choose(self.verdicts_at(trials), medians)
            verdict = "baseline" if chosen == self.plan.baseline else "real" if self.plan.baseline else "lowest median"
            rows.append({"trials": trials, "choose": chosen, "verdict": verdict, "median": medians[chosen]})
        return pd.DataFrame(rows)

    @functools.cached_property
    def pruned(self) -> pd.DataFrame:
        """What pruners saved and gave up; see :func:`hpo.comparison.pruned.pruned`."""
        return pruned(self.finals, self._trials, self.plan.pruned)

    @functools.cached_property
    def doublings(self) -> pd.DataFrame:
        """What doubling the budget brought and may bring; see :func:`hpo.comparison.advice.doublings`."""
        return advice.doublings(self.curves, self.reference["value"].median(), self.plan.trials, self.plan.margin)

    @functools.cached_property
    def recommended(self) -> str:
        """The sampler to use: the best of those shown to be better than the baseline, or else the baseline."""
        return self._choose(self.verdicts, self.finals.groupby("sampler")["value"].median())

    @property
    def command(self) -> str:
        """The command that tunes with the recommended sampler."""
        study, *where = self._study_words
        words = ["hpo", "run", study, "--sampler", self.recommended, "--trials", str(self.plan.trials)]
        return shlex.join([*words, *where])

    def records(self) -> dict[str, Any]:
        """Return the numbers in plain values, for JSON."""
        return {
            "study": self.study,
            "metric": self.metric.key,
            "repetitions": self.repetitions,
            "trials": self.plan.trials,
            "recommended": self.recommended,
            "table": plain_rows(self.table),
            "verdicts": plain_rows(self.verdicts),
            "worth": plain_rows(self.worth),
            "questions": plain_rows(questions_frame(self.questions() if self.repetitions > 1 else [])),
            "looks": self.rules.looks,
            "budgets": plain_rows(self.budgets),
            "doublings": plain_rows(self.doublings),
            "pruned": plain_rows(self.pruned),
            "made": self.made,
        }

    # --- inside ---

    @property
    def _tolerance(self) -> float:
        values = self.finals["value"].abs()
        return float(self.rules.tie_tolerance * values.max()) if values.notna().any() else 0.0

    def losses(self, trials: int) -> "tuple[dict[str, measures.Array], dict[str, measures.Array] | None]":
        """Final losses by sampler after this many trials, on validation and on the test, by repetition."""
        values = measures.incumbents_at(self.curves, trials)
        losses = {label: measures.as_losses(values[label]) for label in self.plan.labels}
        if not self.has_test:
            return losses, None
        scored = measures.incumbents_at(self.curves, trials, "test")
        return losses, {label: measures.as_losses(scored[label]) for label in self.plan.labels}

    def judged(self, trials: int, baseline: str | None) -> pd.DataFrame:
        """The verdicts against a baseline after this many trials."""
        found = judge(*self.losses(trials), self.rules, baseline, rows=self.row_losses(trials))
        return withdrawn(found, self.deterministic)

    def row_losses(self, trials: int) -> "dict[str, measures.Array | None]":
        """Test losses by row of the incumbents after this many trials, the mean over repetitions; None: not known."""
        return rows_of_samplers(self.curves, trials, self._tests, self._rows) if self.has_test else {}

    @functools.cached_property
    def deterministic(self) -> set[str]:
        """Samplers whose runs on one split are all the same."""
        if self.plan.resplit or self.repetitions < 2:
            return set()
        found = set()
        for sampler in self.plan.samplers:
            runs = self.finals[self.finals["sampler"] == sampler.label]
            own = self.curves[self.curves["sampler"] == sampler.label]
            wide = own.pivot(index="trial", columns="repetition", values="incumbent").to_numpy()
            is_exhausted = sampler.is_grid and bool((runs["trials"] < self.plan.trials).all())
            if is_exhausted or np.array_equal(wide, np.repeat(wide[:, :1], wide.shape[1], axis=1), equal_nan=True):
                found.add(sampler.label)
        return found

    def twins(self) -> list[tuple[str, str]]:
        """Pairs of samplers whose first trials are the same in every repetition, as samplers of one seed are."""
        n = self.n_start
        first = self._trials[self._trials["number"].between(n, n + N_FIRST - 1)]
        keys = first.groupby("sampler", sort=False)["configuration"].agg(tuple)
        # A pruner changes no proposal of its own accord: those are meant to be the same.
        searches = {sampler.label: sampler.search_label for sampler in self.plan.samplers}
        pairs = (p for p in itertools.combinations(self.plan.labels, 2) if searches[p[0]] != searches[p[1]])
        return [(a, b) for a, b in pairs if keys[a] == keys[b] and len(keys[a]) >= N_FIRST]

    def _choose(self, verdicts: pd.DataFrame, medians: "pd.Series") -> str:
        baseline = self.plan.baseline
        if baseline is None:
            return str(medians.reindex(self.plan.labels).fillna(-np.inf).idxmax())
        winners = verdicts.loc[(verdicts["verdict"] == "real") & (verdicts["better"] != baseline), "better"]
        return str(medians[winners].idxmax()) if len(winners) else baseline


def _reference(trials: pd.DataFrame, splits: set[int], tests: Mapping[tuple[int, str], float]) -> pd.DataFrame:
    own = trials[(trials["sampler"] == "reference") & trials["split"].isin(splits)]
    scored = [tests.get(pair, np.nan) for pair in zip(own["split"].astype(int), own["configuration"], strict=True)]
    values = own["value"].where(own["state"] == "COMPLETE").to_numpy(dtype=float)
    split, key = own["split"].astype(int).to_numpy(), own["configuration"].to_numpy()
    return pd.DataFrame({"split": split, "configuration": key, "value": values, "test": scored})


def _table(findings: Findings) -> pd.DataFrame:
    """One row per sampler; columns as in :attr:`Findings.table`."""
    groups, labels = findings.finals.groupby("sampler", sort=False), findings.plan.labels
    values = groups.agg(
        repetitions=("repetition", "size"),
        **{name: (name, "sum") for name in (*_COUNTS, *_COSTS)},
        median=("value", "median"),
        worst=("value", "min"),
        best=("value", "max"),
        test=("test", "median"),
        peak_memory_mb=("peak_memory_mb", "max"),
    ).reindex(labels)
    intervals = [median_interval(as_losses(groups.get_group(label)["value"])) for label in labels]
    values["median_low"] = [-float(interval.high) for interval in intervals]
    values["median_high"] = [-float(interval.low) for interval in intervals]
    errors = findings.test_errors.reindex(labels)
    values["test_low"], values["test_high"] = values["test"] - errors, values["test"] + errors
    if findings.has_test:
        values["overtuned"] = findings.overtuning.groupby("sampler")["is_worse"].mean()
    else:
        values["overtuned"] = np.nan
    table = values.join([_counts(findings), _against(findings), _speedups(findings), findings.time_table])
    first = [
        "repetitions", *_COUNTS, "median", "median_low", "median_high", "worst", "best", "test", "test_low",
        "test_high", "wins", "ties", "losses", *_VERDICT, *_SPEEDUP, *findings.time_table.columns, "overtuned",
        *_COSTS, "peak_memory_mb",
    ]  # fmt: skip
    table = table[first].rename_axis("sampler").reset_index()
    table.insert(0, "study", findings.study)
    return table


def _counts(findings: Findings) -> pd.DataFrame:
    """Wins, ties and losses of each sampler against the baseline, repetition by repetition."""
    baseline = findings.plan.baseline
    losses, _ = findings.losses(findings.plan.trials)
    rows = {}
    for label, own in losses.items():
        if baseline is None or label == baseline:
            rows[label] = dict.fromkeys(("wins", "ties", "losses"), pd.NA)
        else:
            base = losses[baseline]
            rows[label] = {"wins": (own < base).sum(), "ties": (own == base).sum(), "losses": (own > base).sum()}
    return pd.DataFrame.from_dict(rows, orient="index").astype("Int64")


def _against(findings: Findings) -> pd.DataFrame:
    if findings.plan.baseline is None:
        return pd.DataFrame(index=findings.plan.labels, columns=_VERDICT)
    return findings.verdicts.set_index("sampler")[_VERDICT]


def _speedups(findings: Findings) -> pd.DataFrame:
    plan = findings.plan
    if plan.random is None and plan.pool == 1:
        return pd.DataFrame(index=plan.labels, columns=_SPEEDUP, dtype=float)
    if plan.resplit:
        return findings.efforts[_SPEEDUP]
    is_baseline = plan.baseline == plan.random
    verdicts = findings.verdicts if is_baseline else findings.judged(plan.trials, plan.random)
    return verdicts.set_index("sampler").reindex(columns=_SPEEDUP)


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values: what was not computed is None, and ``infinity`` what is not reached or has no end."""
    return [{str(name): _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    value = getattr(value, "item", lambda: value)()
    if isinstance(value, float) and np.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    return value
