"""The cores of this machine, each worker's share of them, and whether a fit gains from more than one."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import joblib

LONGEST = 20.0  # CPU seconds of an evaluation that is done once more to learn how many threads it wants
_SHORT = 1.0  # seconds on the clock below which one measurement may be all luck
_OTHERS = 0.1  # share of the CPU seconds that threads beside the first take where an estimator uses them ...
_FEWEST_OTHERS = 0.005  # ... and CPU seconds that are more than what a process has its threads do anyway
_GAIN = 0.9  # of the seconds with all cores that one thread may take to be called faster


def cores() -> int:
    """Cores that this process may use; limits of containers and affinities count."""
    return int(joblib.cpu_count())


def share_of_cores(workers: int | str, wanted: int | None = None) -> int:
    """Threads that each of so many workers on this machine may use; 1 for workers elsewhere."""
    share = max(1, cores() // workers) if isinstance(workers, int) else 1
    return share if wanted is None else min(share, wanted)


@dataclass(frozen=True)
class Timed:
    """What an evaluation gave and took.

    Attributes:
        found: its scores.
        seconds: on the clock.
        cpu_seconds: of all threads of this process; ``other_seconds`` of them were not those of the caller.
    """

    found: Hashable
    seconds: float
    cpu_seconds: float
    other_seconds: float

    @classmethod
    def of(cls, evaluate: Callable[[], Hashable]) -> "Timed":
        """Evaluate, with the clocks running."""
        begun, process, thread = time.perf_counter(), time.process_time(), time.thread_time()
        found = evaluate()
        cpu_seconds = time.process_time() - process
        own = time.thread_time() - thread
        return cls(found, time.perf_counter() - begun, cpu_seconds, max(cpu_seconds - own, 0.0))

    @property
    def is_worth_measuring(self) -> bool:
        """Whether it used other threads, and is short enough to be done once more with one.

        Seconds on the clock would not show it: on a busy machine two threads may get one core's time.
        """
        return self.cpu_seconds <= LONGEST and self.other_seconds > max(_OTHERS * self.cpu_seconds, _FEWEST_OTHERS)


@dataclass(frozen=True)
class ThreadChoice:
    """How many threads fits use, and why.

    Attributes:
        threads: that were chosen.
        most: that there are.
        seconds, seconds_of_one: of an evaluation with the most, and with one.
        depends: whether its scores differ with the number of threads.
    """

    threads: int
    most: int
    seconds: float
    seconds_of_one: float
    depends: bool


def choose_threads(evaluate: Callable[[int], Hashable], most: int, known: Timed) -> ThreadChoice | None:
    """Evaluate once more with one thread, and take it where it is faster, or where scores depend on the number.

    So the clock never decides what is stored.

    Args:
        evaluate: number of threads -> scores.
        most: threads that may be used.
        known: an evaluation with the most of them.

    Returns:
        None where the estimator uses one thread anyway, or takes too long to be evaluated again.
    """
    if most < 2 or not known.is_worth_measuring:
        return None
    one = Timed.of(lambda: evaluate(1))
    seconds = known.seconds
    if seconds < _SHORT:  # the first evaluation of a process also loads and warms up
        seconds = min(seconds, Timed.of(lambda: evaluate(most)).seconds)
    depends = one.found != known.found
    is_one = depends or one.seconds < _GAIN * seconds
    return ThreadChoice(1 if is_one else most, most, seconds, one.seconds, depends)
