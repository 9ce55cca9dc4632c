"""Samplers against random search and against each other, on problems that none was tuned on.

For each problem, random search is drawn once, some thousand trials; the chance that the best of a sampler's first n
trials beats the best of n random ones then has a closed form: with F the distribution of random scores, the best of n
random trials is below y with probability F(y)^n (ties count half). P is its mean over seeds, and the odds P / (1 - P),
with P kept within .02 and .98, are averaged over problems by their logarithms. Intervals (90%) come from drawing
seeds anew.

Head to head, every seed of one sampler meets every seed of the other.

Evaluations are kept in a file and not made again: a benchmark that was interrupted continues.
"""

import argparse
import json
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.problems import PROBLEMS, Problem
from benchmarks.tables import at_least, print_goal, print_machine, print_table
from hpo.database.run_name import RunName
from hpo.evaluation.results import Evaluation
from hpo.samplers.ask_tell import WorkingStudy
from hpo.samplers.table import find_sampler

BUDGETS = (10, 25, 50, 100, 200)
GOAL_ODDS = {25: 5.0, 50: 8.0}
GOAL_BRANCHING = 0.8
FEWEST_SEEDS = 5  # for an interval
N_DRAWN = 500  # times that seeds are drawn anew for an interval


def run(problem: Problem, name: str, sampler: str, seed: int, trials: int, lag: int) -> tuple[list[float], list[float]]:
    """Best score after each trial (-inf before the first that succeeds), and the milliseconds of each proposal."""
    found = find_sampler(sampler)
    working = WorkingStudy(RunName(name, 1, found.search_label, 0, seed), problem.space, found)
    values, milliseconds, pending = [], [], deque()
    for _ in range(trials):
        if working.is_exhausted:
            break
        proposal = working.propose()
        milliseconds.append(1000 * proposal.sampler_seconds)
        score = problem.score(problem.space.use(proposal.configuration))
        values.append(-np.inf if score is None else score)
        error = None if score is not None else "ValueError: it cannot be fitted"
        pending.append((proposal, Evaluation(score, error=error)))
        if len(pending) == lag:
            working.tell(*pending.popleft())
    return [*np.maximum.accumulate(values)], milliseconds


class Results:
    """One line of JSON per run in a file.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._runs = {self._key(run): run for run in map(json.loads, lines)}

    @staticmethod
    def _key(run: dict) -> tuple:
        return run["problem"], run["sampler"], run["seed"], run["lag"]

    def make(self, samplers: Sequence[str], problems: Iterable[str], seeds: int, trials: int, lag: int) -> None:
        """Make the runs that are missing, seed by seed, so that stopping early leaves complete seeds."""
        made = {name: PROBLEMS[name]() for name in problems}
        for seed in range(seeds):
            for name, problem in made.items():
                for sampler in samplers:
                    known = self._runs.get((name, sampler, seed, lag))
                    if known is not None and len(known["best"]) >= min(trials, problem.space.size or trials):
                        continue
                    best, milliseconds = run(problem, name, sampler, seed, trials, lag)
                    self._add({"problem": name, "kind": problem.kind, "sampler": sampler, "seed": seed, "lag": lag,
                               "best": best, "milliseconds": milliseconds})  # fmt: skip

    def draw(self, problems: Iterable[str], n: int) -> None:
        """Draw the random trials of each problem that are missing."""
        for name in problems:
            if len(self._runs.get((name, "draws", 0, 1), {"scores": ()})["scores"]) < n:
                problem = PROBLEMS[name]()
                working = WorkingStudy(RunName(name, 1, "random", 0, 10**6), problem.space, find_sampler("random"))
                configurations = [working.propose().configuration for _ in range(n)]
                scores = [problem.score(problem.space.use(configuration)) for configuration in configurations]
                scores = [-np.inf if score is None else score for score in scores]
                self._add({"problem": name, "sampler": "draws", "seed": 0, "lag": 1, "scores": scores})

    def _add(self, run: dict) -> None:
        self._runs[self._key(run)] = run
        with self._path.open("a") as file:
            file.write(json.dumps(run) + "\n")

    def random_scores(self, problem: str) -> np.ndarray:
        """Scores of the random trials of a problem, ascending."""
        return np.sort(self._runs[problem, "draws", 0, 1]["scores"])

    def frame(self, lag: int) -> pd.DataFrame:
        """One row per run: problem, kind, sampler, seed, best, milliseconds."""
        kept = [run for run in self._runs.values() if run["sampler"] != "draws" and run["lag"] == lag]
        return pd.DataFrame(kept)


def beats_random(best: float, drawn: np.ndarray, n: int) -> float:
    """The chance that ``best`` is above the best of ``n`` random trials, ties half."""
    below, not_above = (np.searchsorted(drawn, best, side) / len(drawn) for side in ("left", "right"))
    return float((below**n + not_above**n) / 2)


def log_odds(P: pd.Series) -> pd.Series:
    """Logarithms of P / (1 - P), P kept within .02 and .98."""
    kept = P.clip(0.02, 0.98)
    return np.log(kept / (1 - kept))


def odds(chances: pd.DataFrame) -> tuple[float, float, float]:
    """Geometric mean over problems of the odds, and its interval; one row per problem and seed, with ``chance``."""
    rng = np.random.default_rng(0)
    by_problem = [group["chance"].to_numpy() for _, group in chances.groupby("problem")]
    drawn = [
        log_odds(pd.Series([rng.choice(chance, len(chance)).mean() for chance in by_problem])).mean()
        for _ in range(N_DRAWN)
    ]
    middle = log_odds(pd.Series([chance.mean() for chance in by_problem])).mean()
    return tuple(np.exp([middle, *np.quantile(drawn, [0.05, 0.95])]).tolist())


def chances(results: Results, frame: pd.DataFrame, n: int) -> pd.DataFrame:
    """The runs that have n trials, with the chance that each beats random search."""
    kept = frame[frame["best"].map(len) >= n].copy()
    kept["incumbent"] = kept["best"].map(lambda best: best[n - 1])
    drawn = {name: results.random_scores(name) for name in kept["problem"].unique()}
    kept["chance"] = [
        beats_random(best, drawn[name], n) for best, name in zip(kept["incumbent"], kept["problem"], strict=True)
    ]
    return kept


def head_to_head(known: pd.DataFrame, one: str, other: str) -> tuple[float, float]:
    """Mean over problems of the chance that ``one`` beats ``other``, and the half width of its interval of 95%.

    The half width is NaN where seeds are too few to tell.
    """
    rng, by_problem = np.random.default_rng(0), []
    for _, group in known.groupby("problem"):
        pair = [group.loc[group["sampler"] == name, "incumbent"].to_numpy() for name in (one, other)]
        if all(map(len, pair)):
            by_problem.append((np.sign(pair[0][:, None] - pair[1]) + 1) / 2)
    drawn = [
        np.mean([wins[rng.integers(0, len(wins), len(wins))][:, rng.integers(0, wins.shape[1], wins.shape[1])].mean()
                 for wins in by_problem])
        for _ in range(N_DRAWN)
    ]  # fmt: skip
    is_enough = min(min(wins.shape) for wins in by_problem) >= FEWEST_SEEDS
    return float(np.mean([wins.mean() for wins in by_problem])), float(1.96 * np.std(drawn)) if is_enough else np.nan


def report(results: Results, samplers: Sequence[str], trials: int, lag: int) -> None:
    """Print what was measured, and the goals of the first sampler."""
    frame = results.frame(lag)
    frame = frame[frame["sampler"].isin(samplers)]
    n_seeds = frame.groupby(["problem", "sampler"])["seed"].nunique().min()
    print(f"\nlag {lag}, {frame['problem'].nunique()} problems, {n_seeds} seeds or more")
    budgets = [n for n in BUDGETS if n <= trials]
    known = {n: chances(results, frame, n) for n in budgets}
    rows = []
    for sampler in samplers:
        found = [odds(known[n][known[n]["sampler"] == sampler]) for n in budgets]
        last = frame[frame["sampler"] == sampler]["milliseconds"].map(lambda spent: np.median(spent[-5:])).median()
        rows.append([sampler, *(f"{odd:.2f} [{low:.1f}, {high:.1f}]" for odd, low, high in found), f"{last:.1f}"])
    print_table(["odds of beating random", *(f"{n} trials" for n in budgets), "ms at the end"], rows)
    print_classes(known, samplers, budgets)
    print_goals(known, samplers, lag)


def print_classes(known: dict[int, pd.DataFrame], samplers: Sequence[str], budgets: Sequence[int]) -> None:
    """P of each problem and class, and the first sampler head to head against the others."""
    rows = []
    for column in ("problem", "kind"):
        for group in sorted(known[budgets[0]][column].unique()):
            part = {n: known[n][known[n][column] == group] for n in budgets}
            mean = [" ".join(f"{part[n].loc[part[n]['sampler'] == s, 'chance'].mean():.2f}" for n in budgets)
                    for s in samplers]  # fmt: skip
            versus = []
            for other in samplers[1:]:
                share, half = head_to_head(part[budgets[-1]], samplers[0], other)
                versus.append(f"{share:.2f} ± {half:.2f}")
            rows.append([f"all {group}" if column == "kind" else group, *mean, *versus])
    print()
    heads = [f"P of {sampler}" for sampler in samplers]
    print_table(["problem", *heads, *(f"{samplers[0]} beats {other}" for other in samplers[1:])], rows)


def print_goals(known: dict[int, pd.DataFrame], samplers: Sequence[str], lag: int) -> None:
    """The goals of the first sampler."""
    print()
    for n, goal in GOAL_ODDS.items():
        if n in known and lag == 1:
            odd, low, high = odds(known[n][known[n]["sampler"] == samplers[0]])
            print_goal(f"odds at {n} trials", f"{odd:.2f} [{low:.1f}, {high:.1f}]", f"{goal:g}", is_met=odd >= goal)
    last = known[max(known)]
    branching = last[(last["kind"] == "branching") & (last["sampler"] == samplers[0])]["chance"].mean()
    if not np.isnan(branching) and lag == 1:
        print_goal("P on branching spaces", f"{branching:.2f}", f"{GOAL_BRANCHING}", is_met=branching >= GOAL_BRANCHING)
    if "tpe" in samplers[1:]:
        for kind, part in last.groupby("kind"):
            share, half = head_to_head(part, samplers[0], "tpe")
            if np.isnan(half):
                print(f"?     not worse than tpe, {kind}: {share:.2f}, with fewer than {FEWEST_SEEDS} seeds")
                continue
            print_goal(f"not worse than tpe, {kind}", f"{share:.2f} ± {half:.2f}", ".5 within or below",
                       is_met=share + half >= 0.5)  # fmt: skip


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--samplers", default="auto,tpe", metavar="A,B", help="the first has the goals; default: %(default)s"
    )
    parser.add_argument("--problems", default=",".join(PROBLEMS), metavar="A,B", help="default: all")
    parser.add_argument("--seeds", type=at_least, default=20, help="default: %(default)s")
    parser.add_argument("--trials", type=at_least, default=50, help="default: %(default)s")
    parser.add_argument("--lag", type=at_least, default=1, help="trials under way at a time; default: %(default)s")
    parser.add_argument(
        "--draws", type=at_least, default=2000, help="random trials of each problem; default: %(default)s"
    )
    parser.add_argument("--results", type=Path, default=Path("samplers.jsonl"), help="file; default: %(default)s")
    parser.add_argument("--no-run", action="store_true", help="only report what the file has")
    arguments = parser.parse_args()
    print_machine("optuna", "scikit-learn")
    samplers, problems = arguments.samplers.split(","), arguments.problems.split(",")
    results = Results(arguments.results)
    if not arguments.no_run:
        with threadpool_limits(1):
            results.draw(problems, arguments.draws)
            results.make(samplers, problems, arguments.seeds, arguments.trials, arguments.lag)
    report(results, samplers, arguments.trials, arguments.lag)


if __name__ == "__main__":
    main()
