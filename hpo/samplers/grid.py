"""The grid sampler: every cell of a conditional space exactly once, in a seeded random order."""

import hashlib
import math
from collections.abc import Iterable
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial

from hpo.errors import UnsuitableSampler
from hpo.samplers.whole_trials import WholeTrialSampler
from hpo.study.hyperparameters import Configuration
from hpo.study.space import SearchSpace

_ROUNDS = 4  # of the Feistel network; Luby and Rackoff (1988): four make a strong pseudorandom permutation


class GridSampler(WholeTrialSampler):
    """Proposes the cells of a space's grid.

    A cell is known by its configuration and not by its number: whatever was tried before, in this process or
    an earlier one, and in whichever order the space is written, is not proposed again.

    Args:
        space: its grid is enumerated without being listed, so that its size does not matter.
        seed: of the order.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._order = Permutation(space.grid_size, seed)
        self._position = 0
        self._tried: set[str] = set()
        self._again: list[Configuration] = []
        self._n_seen = 0
        self._looks = True  # at the study for what was tried
        self._cells: dict[int, Configuration] = {}
        self._next: tuple[Configuration, str] | None = None  # the cell at the position, and its key

    def retry(self, configurations: Iterable[Configuration]) -> None:
        """Propose these again, first, although they were tried."""
        self._again.extend(configurations)

    def remember(self, configurations: Iterable[Configuration]) -> None:
        """Take these for what was tried so far; what comes is then noted as it is proposed, without a look at a study.

        To look takes the longer the more trials there are.
        """
        self._looks = False
        self._tried.update(map(self._space.key, configurations))

    def is_exhausted(self, study: Study) -> bool:
        """Whether no cell is left for the next trial."""
        if self._looks:
            self._look(study.get_trials(deepcopy=False))
        return not self._again and self._find() is None

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Choose the trial's cell: the first in the order that no earlier trial has tried."""
        if self._looks:
            self._look(study.get_trials(deepcopy=False)[: trial.number])
        start = trial.system_attrs.get("fixed_params")
        if start is not None:  # a start configuration
            self._cells = {}
            self._tried.update([self._space.key(start)] if not self._looks else [])
            return
        cell = self._again.pop(0) if self._again else self._find()
        if cell is None:
            raise UnsuitableSampler(f"nothing is left to try: the grid has {self._space.grid_size} cells, and all were")
        self._cells = {trial.number: cell}
        if not self._looks:
            self._tried.add(self._space.key(cell))

    def _look(self, trials: list[FrozenTrial]) -> None:
        self._tried.update(self._space.key(trial.params) for trial in trials[self._n_seen :])
        self._n_seen = max(self._n_seen, len(trials))

    def _find(self) -> Configuration | None:
        while self._position < self._space.grid_size:
            if self._next is None:
                cell = self._space.cell(self._order[self._position])
                self._next = cell, self._space.key(cell)
            if self._next[1] not in self._tried:
                return self._next[0]
            self._position += 1
            self._next = None
        return None

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The cell's value."""
        return self._cells[trial.number][param_name]


class Permutation:
    """A seeded bijection of 0 .. size - 1, computed item by item in constant memory.

    A generalized Feistel network on the smallest rectangle that holds ``size`` numbers, walked until it lands
    inside (Black and Rogaway 2002, "Ciphers with arbitrary finite domains", methods 2 and 3).
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._width = math.isqrt(max(size - 1, 0)) + 1
        self._height = -(-size // self._width)
        self._key = seed.to_bytes(8, "big")

    def __getitem__(self, index: int) -> int:
        while True:
            index = self._encrypt(index)
            if index < self._size:
                return index

    def _encrypt(self, index: int) -> int:
        row, column = divmod(index, self._width)
        for i in range(0, _ROUNDS, 2):
            column = (column + self._noise(i, row)) % self._width
            row = (row + self._noise(i + 1, column)) % self._height
        return row * self._width + column

    def _noise(self, i: int, half: int) -> int:
        digest = hashlib.blake2b(f"{i}:{half}".encode(), key=self._key, digest_size=8).digest()
        return int.from_bytes(digest, "big")
