"""What is kept of runs whose database file was deleted, moved or replaced while they were recorded."""

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from hpo.database.records import TrialRecord
from hpo.database.run_name import RunName
from hpo.database.study_database import StudyDatabase
from hpo.errors import DatabaseLost, HpoError
from hpo.units import counted


@dataclass(frozen=True)
class KnownRun:
    """All that the process that records a run knows of it.

    Attributes:
        name, attributes: of the run.
        records: its finished trials, in number order.
        held: (number, configuration) -> fold -> result, of trials that are not finished.
        sampler_state: study attributes that its sampler stored.
    """

    name: RunName
    attributes: Mapping[str, Any]
    records: Sequence[TrialRecord]
    held: Mapping[tuple[int, str], Mapping[int, Mapping[str, Any]]]
    sampler_state: Mapping[str, Any]


def kept_aside(database: StudyDatabase, runs: Sequence[KnownRun], lost: DatabaseLost) -> DatabaseLost:
    """Write what is known to a new file beside the one that was lost; returns the error that names it.

    While a file is open it can be read without its name: then all of it is kept, also the runs of others.

    Args:
        database: whose file was lost.
        runs: those that were being recorded.
        lost: what happened.
    """
    assert database.path is not None  # servers lose no files
    try:
        path = _free_path(database.path)
        with contextlib.suppress(OSError):
            if not database.copy_lost_file(path):
                path.write_bytes(b"")  # a file without content is made anew
        database.leave_file()
        with StudyDatabase(path) as kept:
            for run in runs:
                _write(kept, run)
            n_trials = len(kept.trials())
    except (OSError, HpoError) as error:
        return DatabaseLost(f"{lost}, and what is known of it cannot be kept ({error}): the run has to be started over")
    kept_here = f"{counted(n_trials, 'trial')} of it {'is' if n_trials == 1 else 'are'} kept in {path}"
    return DatabaseLost(f"{lost}: {kept_here}; go on there with --database {path}")


def _free_path(lost: Path) -> Path:
    """A new, empty file beside the one that was lost; where its folder is gone too, in that for temporary files."""
    for folder in (lost.parent, Path(tempfile.gettempdir())):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            for number in count(1):
                path = folder / f"{lost.stem}-kept{number if number > 1 else ''}{lost.suffix}"
                with contextlib.suppress(FileExistsError):
                    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
                    return path
    raise DatabaseLost(f"no file can be made in {lost.parent}")


def _write(kept: StudyDatabase, run: KnownRun) -> None:
    """Add what a copy of the file does not have, or all of it where there is no copy."""
    key = kept.create_run(run.name, {**run.attributes, "holder": None})
    kept.set_attributes(key, {"holder": None})
    n_kept = kept.n_trials(key.name)
    missing = [record for record in run.records if record.trial.number >= n_kept]
    if missing and missing[0].trial.number > n_kept:  # those before were in the file alone
        return
    if missing:  # the last one brings the sampler's state along, in its transaction
        missing[-1] = replace(missing[-1], sampler_state=run.sampler_state)
    for record in missing:
        kept.record(key, record)
    for (number, configuration), results in run.held.items():
        if results:
            kept.hold(key, number, configuration, results)
