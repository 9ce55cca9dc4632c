"""Whether the winner of a run overfits or underfits."""

from hpo.runs.diagnosis import RunDiagnosis
from hpo.runs.run import Run


def diagnose(run: Run) -> RunDiagnosis:
    """Tell whether the winner of a run overfits, underfits or fits well, and how many of its trials do.

    The rule is that of :mod:`hpo.evaluation.diagnosis`. The dummy is scored on the same folds. Where there is one fold
    only, as with a holdout, the winner is trained once more and the spread is that of parts of its rows; the other
    trials are taken to vary as it does.

    Args:
        run: opened with its definition.

    Raises:
        UnknownRun: it has no complete trial, or was opened without its definition.
        StudyChanged: the definition is no longer what the run was made with.

    Example:
        >>> import hpo
        >>> run = hpo.run("wine-tree", sampler="random", trials=3, database=":memory:", progress="none")
        >>> sum(hpo.diagnose(run).counts.values())
        3
    """
    return run.diagnosis()
