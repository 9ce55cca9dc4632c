"""A run driven by hand: an engine whose results come in any order, and a driver that can be stopped anywhere."""

import random
from collections import Counter

from hpo.evaluation.engine import Unit, UnitResult
from hpo.evaluation.evaluate import evaluate_folds
from hpo.process.interrupts import Interrupts
from hpo.runs.driver import Driver, Job
from hpo.runs.progress import Progress
from hpo.runs.session import StudySession
from hpo.runs.stopping import RunOptions
from hpo.samplers.table import find_sampler


class Shuffled:
    """An engine of so many workers that finishes its units in a random order; some workers die.

    It remembers how often each fold of each trial was evaluated.
    """

    def __init__(self, session: StudySession, n_workers: int, seed: int, *, dies: float = 0.0) -> None:
        self.n_workers, self.session = n_workers, session
        self._waiting: list[Unit] = []
        self._random, self._dies = random.Random(seed), dies
        self.fits: Counter = Counter()
        self.n_under_way: list[int] = []

    def submit(self, unit):
        self._waiting.append(unit)

    def wait(self):
        self.n_under_way.append(len({unit.number for unit in self._waiting}))
        chosen = self._random.randrange(min(len(self._waiting), self.n_workers))
        unit = self._waiting.pop(chosen)
        if self._random.random() < self._dies:
            return UnitResult(unit, (), "signal SIGKILL")
        self.fits.update((unit.number, fold) for fold in unit.folds)
        problem = self.session.problem(unit.split)
        used = problem.used(unit.configuration)
        return UnitResult(unit, tuple(evaluate_folds(problem, used, unit.folds, unit.watching)))

    def give_back(self):
        begun, self._waiting = self._waiting[: self.n_workers], self._waiting[self.n_workers :]
        given, self._waiting = self._waiting, begun
        return given

    def cancel(self, run, number=None):
        self._waiting = [unit for unit in self._waiting if not unit.is_of(run, number)]

    def close(self):
        """Nothing to close."""


def drive(definition, database, engine, *, sampler="tpe", lag=1, stop_after=None, **options):
    """Drive one run; ``stop_after`` that many results somebody presses Ctrl-C."""
    session = StudySession(definition, database)
    engine.session = session
    interrupts = Interrupts()
    driver = Driver(session, engine, RunOptions(**options), interrupts, Progress("none", definition.shown_metric))
    if stop_after is not None:
        wait, results = engine.wait, iter(range(10**6))

        def counted():
            interrupts.requested = next(results) >= stop_after
            return wait()

        engine.wait = counted
    loop = driver.drive_one(Job(session.name(find_sampler(sampler).label, 0, 0), find_sampler(sampler), lag=lag))
    return loop, database.trials(str(loop.name))
