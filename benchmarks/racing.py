"""Counts how often racing gives up a winner, in worlds of fold scores that are drawn; see ``benchmarks.pruning`` too.

A winner is a configuration whose mean over all folds is above the incumbent's. In the last worlds most told trials are
neighbours of the incumbent, as samplers that learn make them, and winners come from elsewhere, and only just win.
"""

import argparse
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.tables import at_least, print_goal, print_machine, print_table
from hpo.samplers.racing import is_beaten

N_FOLDS, N_TOLD, ALPHA = 5, 20, 0.05
Scores = NDArray[np.float64]
World = Callable[[np.random.Generator], tuple[Scores, Scores]]


def alike(generator: np.random.Generator) -> tuple[Scores, Scores]:
    """All from one distribution, as random search draws them; folds are easy or hard for all."""
    hard = generator.normal(0, 3, N_FOLDS)
    means = generator.normal(0, 0.1, (N_TOLD + 1, 1))
    scores = means + hard + generator.normal(0, 0.3, (N_TOLD + 1, N_FOLDS))
    return scores[:-1], scores[-1]


def nearby(share_far: float, spread: float) -> World:
    """An incumbent, neighbours of it and a share elsewhere; the winner is elsewhere and ends a hair above."""

    def drawn(generator: np.random.Generator) -> tuple[Scores, Scores]:
        best = generator.normal(size=N_FOLDS)
        is_far = generator.random(N_TOLD - 1) < share_far
        near = best + generator.normal(-0.1, 0.1, (N_TOLD - 1, 1)) + 0.1 * generator.normal(size=(N_TOLD - 1, N_FOLDS))
        far = generator.normal(-1, 1, (N_TOLD - 1, 1)) + generator.normal(size=(N_TOLD - 1, N_FOLDS))
        told = np.vstack([best, np.where(is_far[:, None], far, near)])
        winner = spread * generator.normal(size=N_FOLDS)
        return told, winner + told.mean(axis=1).max() - winner.mean() + 1e-6

    return drawn


WORLDS: Mapping[str, World] = {
    "drawn at random": alike,
    "winners tie with the incumbent; all elsewhere": nearby(1.0, 1.0),
    "the same, the winner varies twice as much": nearby(1.0, 2.0),
    "the same, four fifths are neighbours": nearby(0.2, 1.0),
    "the same, all are neighbours": nearby(0.0, 1.0),
}


def counted(world: World, n_winners: int, seed: int) -> tuple[int, float]:
    """How many winners are given up, and the share of the others that is."""
    generator = np.random.default_rng(seed)
    n_lost, won, ended = 0, 0, []
    while won < n_winners:
        told, scores = world(generator)
        given_up = any(is_beaten(list(told), scores[:k], alpha=ALPHA) for k in range(1, N_FOLDS))
        if scores.mean() > told.mean(axis=1).max():
            won, n_lost = won + 1, n_lost + given_up
        else:
            ended.append(given_up)
    return n_lost, float(np.mean(ended)) if ended else np.nan


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.racing", description=__doc__.splitlines()[0])
    parser.add_argument("--winners", type=at_least, default=1000, help="of each world (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (0)")
    options = parser.parse_args()
    print_machine("numpy", "scipy")
    rows = []
    for name, world in WORLDS.items():
        n_lost, ended = counted(world, options.winners, options.seed)
        interval = stats.binomtest(n_lost, options.winners).proportion_ci()
        said = f"{n_lost / options.winners:.1%} [{interval.low:.1%}, {interval.high:.1%}]"
        rows.append([name, said, "" if np.isnan(ended) else f"{ended:.0%}"])
        if world is alike:
            print_goal(f"winners given up, {name}", said, f"at most {ALPHA:.0%}", is_met=interval.low <= ALPHA)
    print(f"\n{options.winners} winners a world; {N_FOLDS} folds, {N_TOLD} told trials")
    print_table(["", "winners given up", "others given up"], rows)


if __name__ == "__main__":
    main()
