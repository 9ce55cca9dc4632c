"""Measures what pruners save and what they cost, beside the same sampler without one, and where nothing is to prune.

Every pair has the same seeds and splits, so that random search proposes the same configurations with and without a
pruner. Seconds are those of fits and scores, the scores in the middle of a training among them. Two null cases tune a
forest: in ``no-effect`` all configurations are the same model, and nothing may be pruned; in ``luck`` they differ by
their seed alone, so that a bad first fold says something, and little.
"""

import argparse
import tempfile
from pathlib import Path

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

import hpo
from benchmarks.tables import at_least, print_goal, print_machine, print_table
from hpo.comparison.statistics.medians import median_interval

FOLDS, STEPS = ("racing",), ("median", "halving", "hyperband")
STUDIES = {
    "breast-cancer-svm": FOLDS,
    "diabetes-boosting": (*FOLDS, *STEPS),
    "breast-cancer-logistic": FOLDS,
    "wine-tree": FOLDS,
    "digits-mlp": STEPS,
}


def null(name: str, estimator: RandomForestClassifier, space: dict[str, hpo.Int]) -> hpo.StudyDefinition:
    """A study in which no configuration is better than another."""
    return hpo.StudyDefinition(
        name=name,
        data=load_breast_cancer,
        estimator=estimator,
        space=space,
        metric="neg_log_loss",
        split=hpo.CrossValidation(folds=5, test=0.2),
    )


NULLS = {
    study.name: study
    for study in (
        null(
            "no-effect",
            RandomForestClassifier(n_estimators=8, random_state=0),
            {"max_leaf_nodes": hpo.Int(1000, 10**6)},
        ),
        null("luck", RandomForestClassifier(n_estimators=8), {"random_state": hpo.Int(0, 10**6)}),
    )
}
GOAL_ALPHA = 0.05


def compare(
    study: "hpo.StudyDefinition | str", samplers: list[str], repetitions: int, trials: int, folder: Path
) -> hpo.Comparison:
    """All samplers, from nothing."""
    with hpo.StudyDatabase(folder / "pruning.db") as database:
        return hpo.compare(
            study, samplers=samplers, repetitions=repetitions, trials=trials, open_test=False, database=database,
            workers=1, progress="none",
        )  # fmt: skip


def rows_of(comparison: hpo.Comparison) -> list[list[str]]:
    """A row for each sampler with a pruner."""
    finals = comparison.finals.pivot(index="repetition", columns="sampler", values="value")
    rows = []
    for row in comparison.pruned.to_dict("records"):
        own, other = finals[row["sampler"]], finals[row["against"]]
        change = median_interval((own - other).to_numpy(dtype=float))
        wins, losses = int((own > other).sum()), int((own < other).sum())
        rows.append(
            [
                f"{comparison.study}: {row['sampler']}",
                f"{row['pruned']:.0%}",
                f"{row['saved']:.0%} [{row['saved_low']:.0%}, {row['saved_high']:.0%}]",
                f"{change.estimate:+.2g} [{change.low:+.2g}, {change.high:+.2g}]",
                f"{wins} / {len(own) - wins - losses} / {losses}",
                f"{row['lost']} of {row['winners']}",
            ]
        )
    return rows


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=at_least, default=20, help="default: %(default)s")
    parser.add_argument("--trials", type=at_least, default=40, help="default: %(default)s")
    parser.add_argument("--studies", nargs="+", choices=[*STUDIES, *NULLS], default=[*STUDIES, *NULLS], metavar="STUDY")
    arguments = parser.parse_args()
    print_machine("optuna", "scikit-learn")
    print(f"{arguments.repetitions} repetitions of {arguments.trials} trials; seconds of fits and scores")
    header = [
        "study: sampler",
        "pruned",
        "seconds saved",
        "change of the final score",
        "wins/ties/losses",
        "winner pruned",
    ]
    rows, n_lost, n_winners, n_pruned_in_vain = [], 0, 0, 0
    for study in arguments.studies:
        pruners = STUDIES.get(study, FOLDS)
        samplers = [*(f"random+{pruner}" for pruner in pruners), *(f"tpe+{pruner}" for pruner in pruners)]
        with tempfile.TemporaryDirectory(prefix="hpo-benchmark-") as folder:
            comparison = compare(
                NULLS.get(study, study),
                ["random", "tpe", *samplers],
                arguments.repetitions,
                arguments.trials,
                Path(folder),
            )
        rows += rows_of(comparison)
        raced = comparison.pruned[comparison.pruned["sampler"] == "random+racing"]
        n_lost, n_winners = n_lost + int(raced["lost"].sum()), n_winners + int(raced["winners"].sum())
        if comparison.study == "no-effect":
            n_pruned_in_vain = int(comparison.finals["pruned"].sum())
    print_table(header, rows)
    if "no-effect" in arguments.studies:
        print_goal("pruned where nothing has an effect", f"{n_pruned_in_vain}", "none", is_met=not n_pruned_in_vain)
    if n_winners:
        share = n_lost / n_winners
        what, said = "winners of random search that racing pruned", f"{n_lost} of {n_winners} ({share:.1%})"
        print_goal(what, said, f"at most {GOAL_ALPHA:.0%}", is_met=share <= GOAL_ALPHA)


if __name__ == "__main__":
    main()
