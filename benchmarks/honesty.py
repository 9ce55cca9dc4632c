"""Checks that verdicts on samplers keep their promises: false alarms, coverage of intervals, power.

Comparisons are drawn from known truths and go through ``hpo.comparison.verdicts.judge`` itself, as a user's would. What
can be counted instead of drawn is counted: its figures are exact.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from benchmarks import null_worlds
from benchmarks.tables import at_least, print_goal, print_machine, print_table
from hpo.comparison.statistics.effort import (
    Interval,
    median_difference,
    required_repetitions,
    superiority,
    superiority_test,
)
from hpo.comparison.verdicts import Rules, judge

ALPHA = 0.05
SIZES = (5, 10, 20)
TRUTHS = (0.5, 0.65, 0.75, 0.9)
POWERS = (0.65, 0.7, 0.75, 0.8, 0.9)
N_VALIDATION_ROWS = 114  # of breast-cancer, the shipped study with few of them

Array = NDArray[np.float64]
Losses = dict[str, Array]
Draw = Callable[[np.random.Generator, Sequence[str], int], tuple[Losses, Losses]]


# --- truths ---


def continuous(generator: np.random.Generator, samplers: Sequence[str], n: int) -> tuple[Losses, Losses]:
    """A split that all samplers share and that outweighs them, skewed luck of each run, and a noisy test."""
    split, losses, test = 2 * generator.normal(size=n), {}, {}
    for sampler in samplers:
        luck = generator.exponential(size=n)
        losses[sampler], test[sampler] = split + luck, luck + generator.normal(size=n) / 2
    return losses, test


def discrete(generator: np.random.Generator, samplers: Sequence[str], n: int) -> tuple[Losses, Losses]:
    """Shares of few rows that are classified wrongly, more of them on some splits."""
    rate = np.clip(generator.normal(0.04, 0.015, size=n), 0.005, None)
    losses, test = (
        {sampler: generator.binomial(N_VALIDATION_ROWS, rate) / N_VALIDATION_ROWS for sampler in samplers}
        for _ in range(2)
    )
    return losses, test


def uneven(generator: np.random.Generator, samplers: Sequence[str], n: int) -> tuple[Losses, Losses]:
    """Neither is better, but one varies 4 times as much: what the rank tests do not suppose."""
    losses, test = (
        {sampler: generator.normal(0, 4**i, size=n) for i, sampler in enumerate(samplers)} for _ in range(2)
    )
    return losses, test


def unpaired(draw: Draw) -> Draw:
    """The same with one split: losses of different samplers are independent."""

    def drawn(generator: np.random.Generator, samplers: Sequence[str], n: int) -> tuple[Losses, Losses]:
        alone = [draw(generator, [sampler], n) for sampler in samplers]
        losses, test = ({k: v for part in parts for k, v in part.items()} for parts in zip(*alone, strict=True))
        return losses, test

    return drawn


def shifted(p: float, *, paired: bool, on_test: bool = True) -> Draw:
    """Normal losses, where ``b`` has the lower with probability p; test losses correlate with them at 0.8."""

    def drawn(generator: np.random.Generator, samplers: Sequence[str], n: int) -> tuple[Losses, Losses]:
        a, b = generator.normal(size=(2, n))
        lower = np.sqrt(2) * stats.norm.ppf(p)
        split = 2 * generator.normal(size=n) if paired else np.zeros(n)
        test = {"a": 0.8 * a, "b": 0.8 * b - lower * on_test}
        losses = {"a": a + split, "b": b + split - lower}
        return losses, {name: values + 0.6 * generator.normal(size=n) for name, values in test.items()}

    return drawn


# --- exact distributions ---


def wins_of_pairs(n: int, p: float, tie: float = 0.0) -> list[tuple[float, Array, Array]]:
    """Every outcome of n repetitions as (probability, a, b), where a wins with p - tie / 2."""
    shares = [p - tie / 2, tie, max(0.0, 1 - p - tie / 2)]
    outcomes = []
    for won in range(n + 1):
        for tied in range(n + 1 - won if tie else 1):
            counts = [won, tied, n - won - tied]
            b = np.repeat([1.0, 0.0, -1.0], counts)
            outcomes.append((float(stats.multinomial.pmf(counts, n, shares)), np.zeros(n), b))
    return outcomes


def wins_of_ranks(n: int, p: float) -> list[tuple[float, Array, Array]]:
    """Every count of pairs won by n runs of random search with r = p / (1 - p) times the trials of n others.

    The lowest loss left is one of the former with probability r i / (r i + j) while i and j are left, whatever the
    distribution of losses is. Outcomes as (probability, a, b), with some a and b of that count.
    """
    r = p / (1 - p)
    states: dict[tuple[int, int], Array] = {(n, n): np.eye(1, n * n + 1)[0]}
    for left in range(2 * n, 0, -1):
        for i in range(max(0, left - n), min(n, left) + 1):
            j, shares = left - i, states.pop((i, left - i))
            first = r * i / (r * i + j)
            if i:
                won = np.zeros_like(shares)
                won[j:] = shares[: len(shares) - j]
                states[i - 1, j] = states.get((i - 1, j), 0) + first * won
            if j:
                states[i, j - 1] = states.get((i, j - 1), 0) + (1 - first) * shares
    return [(float(share), *_with_wins(n, won)) for won, share in enumerate(states[0, 0])]


def _with_wins(n: int, won: int) -> tuple[Array, Array]:
    """Two samples of n without ties, in which the first is below in so many of the n x n pairs."""
    full, rest = divmod(won, n)
    a = np.where(np.arange(n) < full, -1.0, n + 1.0)
    if full < n:
        a[full] = n - rest + 0.5
    a += 0.001 * np.arange(n)
    return a, np.arange(1.0, n + 1)


def exact_coverage(outcomes: Sequence[tuple[float, Array, Array]], p: float, *, paired: bool) -> float:
    """Probability that the 95% interval of the superiority holds p."""
    held = [share for share, a, b in outcomes if _holds(superiority(a, b, paired), p)]
    return float(np.sum(held))


def _holds(interval: Interval, truth: float) -> bool:
    return interval.low - 1e-12 <= truth <= interval.high + 1e-12


# --- what is measured ---


def judged(
    draw: Draw,
    n: int,
    rules: Rules,
    n_comparisons: int,
    seed: int,
    samplers: Sequence[str] = "ab",
    *,
    test: bool = True,
) -> pd.DataFrame:
    """The verdicts of many comparisons, each with a number; the last sampler is the baseline of two, else all pairs."""
    generator = np.random.default_rng(seed)
    frames = []
    for _ in range(n_comparisons):
        losses, on_test = draw(generator, samplers, n)
        frames.append(judge(losses, on_test if test else None, rules, samplers[-1] if len(samplers) == 2 else None))
    return pd.concat(frames, keys=range(n_comparisons), names=["comparison", None])


def false_alarms(n_comparisons: int, seed: int) -> None:
    """Random against random."""
    rows, allowed = [], float(np.sqrt(np.log(1000) / (2 * n_comparisons)))  # once in 1,000 by Massart's inequality
    for design, paired in (("paired", True), ("unpaired", False)):
        kinds = {"continuous": continuous, "discrete": discrete}
        for kind, draw in (kinds if paired else kinds | {"one 4 times as wide": uneven}).items():
            for n in SIZES:
                frame = judged(
                    draw if paired or draw is uneven else unpaired(draw), n, Rules(paired), n_comparisons, seed
                )
                p = np.sort(frame["p_value"])
                real = (frame["verdict"] == "real").mean()
                excess = np.max(np.arange(1, len(p) + 1) / len(p) - p)
                rows.append(
                    [f"{design}, {kind}, {n} repetitions", f"{real:.2%}"]
                    + [f"{np.mean(p <= level):.3f}" for level in (0.01, 0.05, 0.1, 0.5)]
                    + [f"{excess:.3f}", f"{frame['ties'].mean():.0%}", f"{_median(frame['speedup']):.2f}"]
                )
    print(f"\nrandom against random, {n_comparisons} comparisons each")
    print_table(
        ["", '"real"', "p<=.01", "p<=.05", "p<=.1", "p<=.5", "most above uniform", "ties", "median speed-up"], rows
    )
    worst = max(rows, key=lambda row: float(row[1].rstrip("%")))
    print_goal(
        '"real" of two alike',
        f"{worst[1]} at most",
        f"{ALPHA:.0%} or less",
        is_met=float(worst[1].rstrip("%")) <= 100 * ALPHA,
    )
    highest = max(float(row[6]) for row in rows if "wide" not in row[0])
    print_goal(
        "p is below x no more often than x where both are alike", f"{highest:.3f} more at most",
        f"0, within {allowed:.3f}",
        is_met=highest <= allowed,
    )  # fmt: skip


def _median(values: "pd.Series[float]") -> float:
    return float(values.median()) if values.notna().any() else float("nan")


def families(n_comparisons: int, seed: int) -> None:
    """Four samplers that are alike: any false alarm among all pairs."""
    rows = []
    for paired in (True, False):
        for kind, draw in (("continuous", continuous), ("discrete", discrete)):
            drawn = draw if paired else unpaired(draw)
            frame = judged(drawn, 20, Rules(paired), n_comparisons, seed, ["random", "tpe", "gp", "qmc"])
            any_of = frame.assign(
                real=frame["verdict"] == "real", small=frame["p_holm"] < ALPHA, raw=frame["p_value"] < ALPHA
            )
            any_of = any_of.groupby(level=0)[["real", "small", "raw"]].any().mean()
            rows.append(
                [
                    f"{'paired' if paired else 'unpaired'}, {kind}",
                    *(f"{any_of[c]:.2%}" for c in ("real", "small", "raw")),
                ]
            )
    print(f"\nfour samplers alike, all 6 pairs, 20 repetitions, {n_comparisons} tables: share with any")
    print_table(["", '"real"', "Holm's p < .05", "p < .05 uncorrected"], rows)
    worst = max(float(row[2].rstrip("%")) for row in rows)
    allowed = 100 * (ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / n_comparisons))
    print_goal("family-wise error", f"{worst:.2f}% at most", f"5%, within {allowed:.1f}%", is_met=worst <= allowed)


def coverage_of_superiority(n_comparisons: int, seed: int) -> None:
    """Of 95% intervals of P."""
    generator = np.random.default_rng(seed)
    rows, exact = [], []
    for n in SIZES:
        for name, tie in (("Wilson, paired", 0.0), ("Wilson, paired, 20% tie", 0.2)):
            found = [exact_coverage(wins_of_pairs(n, p, tie), p, paired=True) for p in TRUTHS]
            rows.append([f"{name}, {n} repetitions, exact", *(f"{share:.2%}" for share in found)])
        found = [exact_coverage(wins_of_ranks(n, p), p, paired=False) for p in TRUTHS]
        exact += found
        rows.append([f"Newcombe 5, unpaired, {n} repetitions, exact", *(f"{share:.2%}" for share in found)])
        for name, scale in (("normal losses", 1.0), ("normal losses, one 4 times as wide", 4.0)):
            shares = []
            for p in TRUTHS:
                lower = np.hypot(1, scale) * stats.norm.ppf(p)
                pairs = zip(
                    generator.normal(-lower, 1, (n_comparisons, n)),
                    generator.normal(0, scale, (n_comparisons, n)),
                    strict=False,
                )
                shares.append(np.mean([_holds(superiority(a, b), p) for a, b in pairs]))
            rows.append([f"Newcombe 5, {name}, {n} repetitions", *(f"{share:.1%}" for share in shares)])
    print("\ncoverage of the 95% interval of the superiority, by its true value; exact: no draw")
    print_table(["", *(f"P = {p}" for p in TRUTHS)], rows)
    print_goal(
        "Newcombe's, one with r times the trials of the other", f"{min(exact):.1%} to {max(exact):.1%}", "93% to 97%",
        is_met=0.93 <= min(exact) <= max(exact) <= 0.97,
    )  # fmt: skip


def coverage_of_medians(n_comparisons: int, seed: int) -> None:
    """Of 95% intervals of differences of medians."""
    generator = np.random.default_rng(seed)
    wrong = stats.binom(N_VALIDATION_ROWS, 0.08).median(), stats.binom(N_VALIDATION_ROWS, 0.05).median()
    truths: Mapping[str, tuple[Callable[[tuple[int, int]], Array], Callable[[tuple[int, int]], Array], float]] = {
        "normal": (lambda s: generator.normal(size=s), lambda s: generator.normal(size=s), 0.0),
        "normal, one 4 times as wide": (lambda s: generator.normal(size=s), lambda s: generator.normal(0, 4, s), 0.0),
        "exponential, one 3 times": (
            lambda s: generator.exponential(3, s), lambda s: generator.exponential(1, s), 2 * np.log(2),
        ),
        "lognormal": (lambda s: generator.lognormal(size=s), lambda s: generator.lognormal(size=s), 0.0),
        "Student's t with 2": (lambda s: generator.standard_t(2, s), lambda s: generator.standard_t(2, s), 0.0),
        f"rows of {N_VALIDATION_ROWS} wrong": (
            lambda s: generator.binomial(N_VALIDATION_ROWS, 0.08, s).astype(float),
            lambda s: generator.binomial(N_VALIDATION_ROWS, 0.05, s).astype(float),
            float(wrong[0] - wrong[1]),
        ),
    }  # fmt: skip
    rows = [["paired, any continuous difference, exact"]]
    for n in SIZES:  # the median of signs: how many differences lie below it
        below = np.arange(n + 1)
        held = [_holds(median_difference(np.repeat([-1.0, 1.0], [k, n - k]), np.zeros(n), True), 0.0) for k in below]
        rows[0].append(f"{stats.binom.pmf(below, n, 0.5)[held].sum():.2%}")
    for name, (draw_a, draw_b, truth) in truths.items():
        shares = [
            np.mean(
                [
                    _holds(median_difference(a, b), truth)
                    for a, b in zip(draw_a((n_comparisons, n)), draw_b((n_comparisons, n)), strict=False)
                ]
            )
            for n in SIZES
        ]
        rows.append([f"unpaired, {name}", *(f"{share:.1%}" for share in shares)])
    print("\ncoverage of the 95% interval of the difference of medians (93% to 97% wanted), by repetitions")
    print_table(["", *map(str, SIZES)], rows)


def power(n_comparisons: int, seed: int) -> None:
    """At the number of repetitions that is said to be required for 80%."""
    rows = []
    for paired in (True, False):
        for p in POWERS:
            n = int(required_repetitions(p, paired=paired))
            frames = [
                judged(shifted(p, paired=paired), n, Rules(paired), n_comparisons, seed, "ba", test=test)
                for test in (False, True)
            ]
            real = [(frame["better"] == "b").mean() for frame in frames]
            row = [f"{'paired' if paired else 'unpaired'}, P = {p}, {n} repetitions"]
            row += [f"{(frames[0]['p_value'] < ALPHA).mean():.0%}", *(f"{share:.0%}" for share in real)]
            row.append("" if paired else f"{_exact_power(n, p):.1%}")
            rows.append(row)
    print(f"\npower at required_repetitions(P), {n_comparisons} comparisons each: normal losses")
    print_table(["", "p alone", '"real" without test', '"real"', "p alone, r times the trials, exact"], rows)


def _exact_power(n: int, p: float) -> float:
    """Of the Mann-Whitney test between random search and random search with p / (1 - p) times the trials."""
    return float(np.sum([share for share, a, b in wins_of_ranks(n, p) if superiority_test(a, b) < ALPHA]))


def overtuned(n_comparisons: int, seed: int) -> None:
    """Better on validation for certain, alike on the test."""
    draw = shifted(0.98, paired=True, on_test=False)
    rows, shares = [], []
    for margin in (None, 1e-6, 0.2):
        frame = judged(draw, 20, Rules(True, margin=margin), n_comparisons, seed, "ba")
        beyond = (frame["p_validation"] < ALPHA) & (-frame["test_difference"] > (margin or 0))
        shares.append((frame["verdict"] == "real").mean())
        rows.append([f"margin {margin}", f"{shares[-1]:.2%}", f"{beyond.mean():.1%}"])
    print(f"\nbetter on validation (P = 0.98), alike on the test, paired, 20 repetitions, {n_comparisons} comparisons")
    print_table(["", '"real"', "if the estimate beyond the margin were enough"], rows)
    print_goal(
        '"real" without a difference on the test', f"{max(shares):.2%} at most", "2.5%", is_met=max(shares) <= 0.035
    )


# --- null worlds, and the power beside ---

NULL_WORLDS: Mapping[str, dict[str, float]] = {
    "all alike": {},
    "alike on the test, surely different on validation": {"lead": 3.0},
    "the same, and the test rows have luck (0.3)": {"lead": 3.0, "luck": 0.3},
    "the same, and much luck (1.4)": {"lead": 3.0, "luck": 1.4},
    "one 4 times as wide": {"wide": 4.0},
    "one 4 times as wide, alike on the test only": {"wide": 4.0, "lead": 9.0},
}
LOOKS = (10, 20, 40)  # at 5, where nothing can be significant, nothing is spent
LONGEST = 80  # repetitions, of who looks after each


def between_samplers(n_comparisons: int, seed: int) -> None:
    """False "real" with 1, 3 and 10 pairs: one look, repetitions added by hand, a look after each."""
    generator, rows = np.random.default_rng(seed), []
    for name, world in NULL_WORLDS.items():
        for m in (1, 3, 10):
            n = max(n_comparisons // (1 if m < 10 else 4), 1)
            drawn = [null_worlds.pairs(generator, n, LONGEST, **world) for _ in range(m)]
            n_wrong = null_worlds.disagreements(drawn[0].first(20), 20)
            at_looks = [_reals([pair.first(s) for pair in drawn]) for s in LOOKS]
            again = [null_worlds.sequential(pair.first(LOOKS[-1]), ALPHA / m / 2) for pair in drawn]
            later = np.any([found[:, [s - 1 for s in LOOKS[1:]]].any(axis=1) for found in again], axis=0)
            each = np.any([null_worlds.sequential(pair, ALPHA / m)[:, -1] for pair in drawn], axis=0)
            shares = [
                at_looks[1][0], at_looks[1][1], np.any([found[0] for found in at_looks], axis=0),
                at_looks[0][1] | later, each,
            ]  # fmt: skip
            rows.append([name, str(m), *(f"{share.mean():.1%}" for share in shares), str(n_wrong)])
    print(f"\nneither is better, {n_comparisons} comparisons (a quarter with 10 pairs): share with any false real")
    header = ["", "pairs", "before, 20", "now, 20", "before, 10 20 40", "now, 10 20 40", f"now, each to {LONGEST}"]
    print_table([*header, "not as judge"], rows)
    worst = max(float(row[i].rstrip("%")) for row in rows for i in (3, 5, 6))
    allowed = 100 * (ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / (n_comparisons / 4)))
    print_goal('"real" in a null world', f"{worst}% at most", f"5%, within {allowed:.1f}%", is_met=worst <= allowed)


def _reals(drawn: Sequence[null_worlds.Drawn]) -> tuple[Array, Array]:
    """In which families any pair is real at one look: by the rule before, and now."""
    m = len(drawn)
    before = np.any([null_worlds.old_is_real(pair, ALPHA / m)[0] for pair in drawn], axis=0)
    now = null_worlds.holm_is_real(np.stack([null_worlds.new_p(pair)[0] for pair in drawn], axis=1)).any(axis=1)
    return before, now


def repetitions_for_power(n_comparisons: int, seed: int) -> None:
    """Repetitions at which a true difference is real in 80% of comparisons."""
    generator, rows, sizes = np.random.default_rng(seed), [], range(6, LONGEST + 1)
    for on_validation, on_test in ((0.79, 0.70), (0.84, 0.79), (0.9, 0.85)):
        for luck in (0.0, 0.1):
            lead, gain = stats.norm.ppf([on_validation, on_test])
            drawn = null_worlds.pairs(generator, n_comparisons // 4, LONGEST, lead=lead, gain=gain, luck=luck)
            for m in (1, 3):
                found = []
                for rule in ("before", "now"):
                    powers = []
                    for s in sizes:
                        cut = drawn.first(s)
                        if rule == "before":
                            is_real, is_ours = null_worlds.old_is_real(cut, ALPHA / m)
                        else:
                            p, is_ours = null_worlds.new_p(cut)
                            is_real = p < ALPHA / m
                        powers.append((is_real & is_ours).mean())
                    found.append(next((s for s, power in zip(sizes, powers, strict=True) if power >= 0.8), None))
                stopped = null_worlds.sequential(drawn, ALPHA / m).mean(axis=0)
                found.append(int(np.argmax(stopped >= 0.8)) + 1 if stopped[-1] >= 0.8 else None)
                half = int(np.argmax(stopped >= 0.5)) + 1 if stopped[-1] >= 0.5 else None
                cells = [f"more than {LONGEST}" if s is None else str(s) for s in (*found, half)]
                rows.append([f"P {on_validation} and {on_test}, luck {luck}", str(m), *cells])
    print(f"\nrepetitions for 80% power, {n_comparisons // 4} comparisons")
    print_table(
        ["wins on validation and test", "pairs", "before", "now", "until known, 80%", "until known, half"], rows
    )


def whether_worth_it(n_comparisons: int, seed: int) -> None:
    """The reference as good as the best, one fixed test set; and a gain of a third of a row's spread."""
    generator, rows = np.random.default_rng(seed), []
    for metric, gain in (("mean loss", 0.35), ("AUC", 0.5)):
        for n in (60, 114, 500):
            for s in (6, 12, 20, 40):
                found = [
                    _worth(generator, n_comparisons // k, s, n, g, metric == "AUC") for g, k in ((0, 1), (gain, 8))
                ]
                cells = [f"{found[0][name]:.1%}" for name in ("before", "worth it", "harm", "at any look")]
                rows.append([f"{metric}, {n} rows, {s} repetitions", *cells, f"{found[1]['worth it']:.0%}"])
    print(f"\nthe reference is as good as the best, {n_comparisons} comparisons: how often something else is said")
    header = [
        "",
        "worth it, before",
        "worth it, now",
        "does harm, now",
        "either, a look after each",
        "power with a gain",
    ]
    print_table(header, rows)
    worst = max(float(row[2].rstrip("%")) for row in rows)
    allowed = 100 * (ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / n_comparisons))
    print_goal('"worth it" of nothing', f"{worst}% at most", f"5%, within {allowed:.1f}%", is_met=worst <= allowed)


def _worth(generator: np.random.Generator, m: int, s: int, n: int, gain: float, is_auc: bool) -> dict[str, float]:
    at_once = max(1, 4_000_000 // (s * n))  # comparisons whose rows fit the memory
    sizes = [min(at_once, m - begun) for begun in range(0, m, at_once)]
    parts = [null_worlds.worth(null_worlds.tuned(generator, k, s, n, gain=gain, auc=is_auc), generator) for k in sizes]
    return {name: float(np.average([part[name] for part in parts], weights=sizes)) for name in parts[0]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.honesty", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--comparisons", type=at_least, default=2000, help="per row, a quarter of them in the last tables (2000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all draws (0)")
    options = parser.parse_args()
    print_machine("numpy", "scipy", "pandas")
    start = time.perf_counter()
    for measure in (false_alarms, coverage_of_superiority, coverage_of_medians):
        measure(options.comparisons, options.seed)
    for measure in (between_samplers, repetitions_for_power, whether_worth_it):
        measure(options.comparisons, options.seed)
    for measure in (families, overtuned, power):  # which take longer each
        measure(max(1, options.comparisons // 4), options.seed)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
