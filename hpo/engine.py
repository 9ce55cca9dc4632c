"""Where evaluations run. One implementation for now: in this process."""

from collections.abc import Mapping
from typing import Any, Protocol

from hpo.evaluation import Evaluation, Problem, evaluate


class Engine(Protocol):
    """Takes configurations and gives back evaluations, in any order."""

    def submit(self, number: int, used: Mapping[str, Any]) -> None:
        """Begin to evaluate trial ``number`` with these hyperparameters."""

    def wait(self) -> tuple[int, Evaluation]:
        """The next evaluation to finish, with its trial's number."""


class InProcess:
    """Evaluates one configuration after another, in this process, when it is waited for."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._waiting: dict[int, Mapping[str, Any]] = {}

    def submit(self, number: int, used: Mapping[str, Any]) -> None:
        """Put the trial at the end of the queue."""
        self._waiting[number] = used

    def wait(self) -> tuple[int, Evaluation]:
        """Evaluate the first of the queue."""
        number = next(iter(self._waiting))
        return number, evaluate(self._problem, self._waiting.pop(number))
