"""The random generators that a whole process shares: seeded for a fold, and put back as they were.

An estimator without a ``random_state``, or a scorer, may draw from numpy's, Python's or torch's own generator. What it
draws must not depend on what was drawn before it in the same process, or on which process that is.
"""

import contextlib
import functools
import random
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.random import mtrand

# Threads share these generators. Who keeps them has them alone: fits in other threads draw as they find them.
_HOLDER = threading.RLock()


def seed_for(split: int, what: str) -> int:
    """A seed of 32 bits for something that is random in the evaluations of a split.

    Args:
        split: its number.
        what: the name of a ``random_state``, or a fold.

    Example:
        >>> seed_for(0, "random_state") == seed_for(0, "random_state")
        True
    """
    return int(np.random.SeedSequence([split, *what.encode()]).generate_state(1)[0])


def seed(split: int, what: str) -> None:
    """Seed numpy's, Python's and, where it is loaded, torch's own generator; whoever keeps them puts them back."""
    if not _HOLDER.acquire(blocking=False):
        return
    try:
        number = _seed(split, what)
        random.seed(number)
        try:
            np.random.seed(number)
        except TypeError:  # somebody has put in another kind of generator, which cannot be seeded anew
            mtrand.set_bit_generator(np.random.MT19937(number))
        torch = _torch()
        if torch is not None:
            torch.manual_seed(number)
    finally:
        _HOLDER.release()


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Put the generators back at the end of the block as they were at its beginning.

    Example:
        >>> random.seed(1)
        >>> before = random.getstate()
        >>> with kept():
        ...     seed(0, "fold 0")
        >>> random.getstate() == before
        True
    """
    if not _HOLDER.acquire(blocking=False):
        yield
        return
    try:
        of_python, of_numpy = random.getstate(), np.random.get_state(legacy=False)
        kind, torch = mtrand.get_bit_generator(), _torch()
        of_torch = None if torch is None else _torch_states(torch)
        try:
            yield
        finally:
            random.setstate(of_python)
            if mtrand.get_bit_generator() is not kind:
                mtrand.set_bit_generator(kind)
            np.random.set_state(of_numpy)
            if of_torch is not None:
                torch.set_rng_state(of_torch[0])
                for device, state in enumerate(of_torch[1]):
                    torch.cuda.set_rng_state(state, device)
    finally:
        _HOLDER.release()


@contextlib.contextmanager
def seeded(split: int, what: str) -> Iterator[None]:
    """Seed the generators for the block, and put them back after it."""
    with kept():
        seed(split, what)
        yield


def fold_name(fold: int) -> str:
    """What the generators are seeded for when a fold is trained."""
    return f"fold {fold}"


_seed = functools.lru_cache(maxsize=256)(seed_for)


def _torch() -> Any:
    """The module where it is loaded whole, or None: it is not ours to load."""
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "manual_seed") and hasattr(torch, "get_rng_state") else None


def _torch_states(torch: Any) -> tuple[Any, list[Any]]:
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    return torch.get_rng_state(), devices
