"""The cores of this machine, and each worker's share of them."""

import joblib


def cores() -> int:
    """Cores that this process may use; limits of containers and affinities count."""
    return int(joblib.cpu_count())


def share_of_cores(workers: int | str, wanted: int | None = None) -> int:
    """Threads that each of so many workers on this machine may use; 1 for workers elsewhere."""
    share = max(1, cores() // workers) if isinstance(workers, int) else 1
    return share if wanted is None else min(share, wanted)
