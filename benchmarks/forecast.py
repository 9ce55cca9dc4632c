"""Tests the budget advice of comparisons on itself: what was forecast at half and a quarter of a budget, and what came.

A comparison advises what the next doubling of the budget is expected to bring, from its curves alone. Here it is asked
at a quarter and at half of the budget, knowing nothing of what follows, and what followed is set beside it: the mean
gain of the same repetitions. Runs that a database has are not made again.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd

import hpo
from benchmarks.tables import at_least, print_goal, print_machine, print_table
from hpo.comparison.advice import doublings

GOAL_COVERAGE = 0.9  # of intervals of 95%, whose number is small here


def forecasts(comparison: hpo.Comparison, budget: int) -> pd.DataFrame:
    """For each sampler: what was forecast at this budget of its double, and what came."""
    curves, reference = comparison.curves, float(comparison.reference["value"].median())
    then, later = (
        doublings(curves[curves["trial"] <= known], reference, known, None).set_index("sampler")
        for known in (budget, 2 * budget)
    )
    return then.assign(came=later["gain"])


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", nargs="+", default=["breast-cancer-svm", "diabetes-boosting"], metavar="STUDY")
    parser.add_argument("--samplers", default="grid,random,tpe,qmc", help="default: %(default)s")
    parser.add_argument("--repetitions", type=at_least, default=20, help="default: %(default)s")
    parser.add_argument("--trials", type=at_least, default=48, help="a multiple of 4; default: %(default)s")
    parser.add_argument("--database", help="of earlier comparisons; what it lacks is run there; default: a new one")
    arguments = parser.parse_args()
    print_machine("optuna", "scikit-learn")
    rows, n_within, n_all = [], 0, 0
    with tempfile.TemporaryDirectory(prefix="hpo-benchmark-") as folder:
        for study in arguments.studies:
            comparison = hpo.compare(
                study, samplers=arguments.samplers.split(","), repetitions=arguments.repetitions,
                trials=arguments.trials, open_test=False, database=arguments.database or Path(folder) / "forecast.db",
                progress="none",
            )  # fmt: skip
            for budget in (arguments.trials // 4, arguments.trials // 2):
                for sampler, row in forecasts(comparison, budget).iterrows():
                    is_within = row["next_gain_low"] <= row["came"] <= row["next_gain_high"]
                    n_within, n_all = n_within + is_within, n_all + 1
                    interval = f"[{row['next_gain_low']:.2g}, {row['next_gain_high']:.2g}]"
                    forecast = f"{row['next_gain']:.2g} {interval}"
                    came = f"{row['came']:.2g}"
                    what = f"{study}: {sampler}, {budget} to {2 * budget} trials"
                    rows.append([what, forecast, came, "within" if is_within else "outside"])
    print_table(["study: sampler, doubling", "forecast gain (95%)", "what came", ""], rows)
    share = n_within / n_all
    said = f"{n_within} of {n_all} ({share:.0%})"
    print_goal("gains within their forecast", said, f"{GOAL_COVERAGE:.0%} or more", is_met=share >= GOAL_COVERAGE)


if __name__ == "__main__":
    main()
