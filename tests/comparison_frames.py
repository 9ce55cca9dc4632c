"""Frames of a comparison that never ran: many samplers and seeds, the same every time."""

import numpy as np
import pandas as pd

from hpo.comparison import figures, side_figures
from hpo.units import Metric

METRIC = Metric("neg_log_loss", -1)
SAMPLERS = (
    "random", "grid", "tpe", "tpe(n_startup_trials=20, multivariate=True)", "cmaes", "gp", "qmc", "nsga2", "brute",
    "hyperband",
)  # fmt: skip


def frames(n_samplers: int = 10, n_repetitions: int = 20, n_trials: int = 500) -> dict[str, pd.DataFrame]:
    """Every frame that a figure takes; losses fall like 1/trial, at a pace of the sampler's own."""
    random = np.random.default_rng(0)
    curves, finals, times = [], [], []
    for i, sampler in enumerate(SAMPLERS[:n_samplers]):
        for repetition in range(n_repetitions):
            trial = np.arange(1, n_trials + 1)
            loss = 0.1 + 0.02 * (i % 4) + random.exponential(1.0, n_trials) / trial**0.2
            loss[0] += 5
            loss[random.random(n_trials) < 0.02] = np.nan
            best = pd.Series(-loss).cummax().ffill()
            fit = random.exponential(0.1 * (1 + i % 3), n_trials)
            proposing = (0.3 if sampler == "gp" else 0.001) * random.uniform(0.5, 1.5, n_trials)
            curves.append(
                pd.DataFrame(
                    {
                        "sampler": sampler, "repetition": repetition, "trial": trial,
                        "seconds": (fit * 1.1 + proposing).cumsum(), "fit_seconds": fit.cumsum(), "incumbent": best,
                    }
                )
            )  # fmt: skip
            hits = np.flatnonzero(best > -0.25)
            times.append((sampler, repetition, hits[0] + 1.0 if len(hits) else np.nan, n_trials))
            value = best.iloc[-1]
            finals.append(
                (
                    sampler, repetition, repetition, value, value - random.normal(0.02, 0.02), n_trials,
                    int(np.isnan(loss).sum()), fit.sum(), 0.1 * fit.sum(), proposing.sum(), random.uniform(90, 140),
                )
            )  # fmt: skip
    names = ("sampler", "repetition", "split", "value", "test", "trials", "failed", "fit_seconds", "score_seconds")
    finals = pd.DataFrame(finals, columns=[*names, "sampler_seconds", "peak_memory_mb"])
    pairs = []
    for i, sampler in enumerate(SAMPLERS[1:n_samplers]):
        p = 0.3 + 0.07 * i
        verdict = ("real", "equivalent", "inconclusive", "no difference")[i % 4]
        pairs.append((sampler, "random", p, max(p - 0.2, 0), min(p + 0.17, 1), 0.04 * i, verdict))
    return {
        "curves": pd.concat(curves, ignore_index=True),
        "finals": finals,
        "reference": pd.DataFrame({"split": range(n_repetitions), "value": -0.31, "test": -0.33}),
        "verdicts": pd.DataFrame(
            pairs,
            columns=["sampler", "against", "superiority", "superiority_low", "superiority_high", "p_holm", "verdict"],
        ),
        "times": pd.DataFrame(times, columns=["sampler", "repetition", "hit", "budget"]),
        "failures": pd.DataFrame(
            [(s, kind, 3 + i) for i, s in enumerate(SAMPLERS[:n_samplers:2]) for kind in ("ValueError", "MemoryError")],
            columns=["sampler", "kind", "count"],
        ),
        "ranks": pd.DataFrame(
            {"sampler": SAMPLERS[:n_samplers], "rank": np.linspace(1.4, n_samplers - 0.6, n_samplers)}
        ),
    }  # fmt: skip


def all_figures(given: dict[str, pd.DataFrame], metric: Metric = METRIC) -> dict:
    """Every figure of one study."""
    curves, finals, reference = given["curves"], given["finals"], given["reference"]
    samplers = list(dict.fromkeys(curves["sampler"]))
    return {
        "incumbents": figures.incumbents(curves, reference, metric, samplers=samplers),
        "incumbents-seconds": figures.incumbents(curves, reference, metric, "seconds", samplers=samplers),
        "incumbents-fit-seconds": figures.incumbents(curves, reference, metric, "fit_seconds", samplers=samplers),
        "finals": figures.finals(finals, reference, metric, samplers=samplers),
        "superiority": figures.superiority(given["verdicts"], samplers=samplers),
        "time-to-target": figures.time_to_target(given["times"], samplers=samplers),
        "test-against-validation": figures.test_against_validation(finals, metric, samplers=samplers),
        "cost": side_figures.cost(finals, samplers=samplers),
        "failures": side_figures.failures(given["failures"], samplers=samplers),
        "ranks": side_figures.ranks(given["ranks"], 2.4, 12, samplers=samplers),
    }
