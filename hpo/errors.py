"""What can go wrong, named after the situation the user is in."""


class HpoError(Exception):
    """Root of every error this package raises on purpose; its text is one line for the user.

    ``exit_code`` is what the command line returns: 2 for bad input, 1 for a run that failed.
    """

    exit_code = 2


class InvalidSpace(HpoError):
    """A search space, or a configuration for it, that cannot be."""


class InvalidDefinition(HpoError):
    """A study definition that contradicts itself, its estimator or its data."""


class InvalidOption(HpoError):
    """A value of an argument or option outside what is allowed."""


class UnknownStudy(HpoError):
    """No study definition of that name or at that path."""


class ScriptFailed(HpoError):
    """A study script raised while it was imported; ``trace`` holds the user's own frames."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace


class UnknownSampler(HpoError):
    """No sampler of that name, or no such option of it."""


class UnknownPruner(HpoError):
    """No pruner of that name."""


class UnsuitablePruner(HpoError):
    """A pruner that has nothing to watch in this study."""


class UnsuitableSampler(HpoError):
    """A sampler that cannot search this space, or that lacks what it needs."""


class UnknownRun(HpoError):
    """No run of that name in the database."""


class UnusableDatabase(HpoError):
    """A database that cannot be reached, read, written, or that belongs to something else."""


class UntrustedDatabase(HpoError):
    """A database that holds what a sampler might run as code, and that nobody said to trust."""


class StudyChanged(HpoError):
    """The definition differs from the one the stored trials were made with."""


class RunInUse(HpoError):
    """Another process recorded a trial of the same run."""

    exit_code = 1


class RunDeleted(HpoError):
    """A run that was deleted while it was being recorded; nothing was written after that."""

    exit_code = 1


class DatabaseLost(HpoError):
    """A database file that was deleted, moved or replaced while it was in use; the message names what was kept."""

    exit_code = 1


class RunFailed(HpoError):
    """Every trial of a run failed."""

    exit_code = 1


class WorkerBroken(HpoError):
    """A worker that cannot evaluate anything: it does not start, or lacks what the study needs."""

    exit_code = 1


class ClusterLost(HpoError):
    """The scheduler of a cluster that was being used is gone; what was recorded is kept."""

    exit_code = 75


class NotComparable(HpoError):
    """Runs that differ in more than their sampler."""


class UnstorableModel(HpoError):
    """A fitted estimator that the format asked for cannot hold."""


class ModelTampered(HpoError):
    """An exported model whose files are not what was exported."""


class UntrustedModel(HpoError):
    """An exported model that holds what nobody said to trust, or what cannot be loaded here."""
