"""A check-up of a study database: what is wrong, and the command that mends it."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from hpo import locks
from hpo.catalogue import find_study, study_files
from hpo.database import StudyDatabase
from hpo.definition import data_hash, normalised_name
from hpo.errors import HpoError, UnusableDatabase
from hpo.opening import mysql_repairs
from hpo.records import RUN_ID
from hpo.samplers import RESERVED


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        what: in one sentence.
        mend: the command, or the words, that mend it.
    """

    what: str
    mend: str


def examine(database: StudyDatabase) -> Iterator[Finding]:
    """All findings: the file's integrity, trials that others wrote, interrupted runs, changed definitions."""
    damage = list(_integrity(database))
    yield from damage
    if damage:  # nothing that is read from it could be believed
        return
    repairs = mysql_repairs(database.engine)
    if repairs:
        yield Finding(
            "Optuna made the tables: they lose fractions of a second, texts beyond 64 KB and names that differ by case",
            " ".join(repairs),
        )
    runs = database.runs()
    ours = runs[runs["study"].notna()]
    for row in ours.to_dict("records"):
        yield from _trials(database, row["run"])
        yield from _lost(database, row["run"])
        yield from _interrupted(database, row)
    for study in ours["study"].unique():
        yield from _definition(database, str(study))


def _integrity(database: StudyDatabase) -> Iterator[Finding]:
    if database.path is None:
        return
    try:
        with database.engine.connect() as connection:
            problems = list(connection.exec_driver_sql("PRAGMA integrity_check").scalars())
    except sa.exc.DatabaseError as error:
        problems = [str(error.orig)]
    if problems != ["ok"]:
        recovered = shlex.quote(f"{database.path}.recovered")
        yield Finding(
            f"the file is damaged: {problems[0]}",
            f"sqlite3 {shlex.quote(str(database.path))} .recover | sqlite3 {recovered}",
        )


def _trials(database: StudyDatabase, run: str) -> Iterator[Finding]:
    for position, trial in enumerate(database.optuna_trials(database.study_id(run))):
        is_ours = "configuration" in trial.user_attrs and trial.state.is_finished()
        if trial.number != position or not is_ours:
            yield Finding(
                f"{run}: trial {trial.number} ({trial.state.name}) was written by something else, so that the run "
                "cannot be continued",
                f"hpo delete {shlex.quote(run)}",
            )
            return


def _lost(database: StudyDatabase, run: str) -> Iterator[Finding]:
    study_id = database.study_id(run)
    run_id = str(database.attributes(study_id).get(RUN_ID, ""))
    n_lost = database.n_lost(run_id, len(database.optuna_trials(study_id)))
    if n_lost and database.path is not None:
        plural = "trials that were recorded are" if n_lost > 1 else "trial that was recorded is"
        yield Finding(
            f"{run}: {n_lost} {plural} gone; the file or the -wal beside it was damaged or replaced",
            f"put back a copy of the file together with its -wal, or go on without them: "
            f"rm {shlex.quote(str(locks.count_file(database.path, run_id)))}",
        )


def _interrupted(database: StudyDatabase, row: "dict[str, object]") -> Iterator[Finding]:
    run = str(row["run"])
    if row["sampler"] in RESERVED or str(row["state"]).startswith("done"):
        return
    attributes = database.run_attributes(run)
    stored = attributes.get("holder")
    try:
        with locks.locked(database.engine, database.path, str(attributes.get(RUN_ID, ""))):
            pass
    except (locks.Taken, UnusableDatabase):
        return  # under way, or a file that cannot be written, of which nobody knows
    told = sum(int(str(row[state])) for state in ("complete", "failed", "pruned"))
    how = f"was interrupted ({locks.describe(stored)} is gone)" if stored else "is unfinished"
    command = f"hpo run {shlex.quote(str(row['study']))} --sampler {shlex.quote(str(row['sampler']))}"
    yield Finding(
        f"{run} {how}: {told} of {row['budget']} trials",
        f"{command} --split {row['split']} --seed {row['seed']} --trials {row['budget']}",
    )


def _definition(database: StudyDatabase, study: str) -> Iterator[Finding]:
    """Whether the definition that can be found by this name is the one the runs were made with."""
    if normalised_name(study) not in study_files():
        return
    try:
        definition = find_study(study)
        hashes = {"data": data_hash(definition.load()), **definition.fixed_hashes}
    except HpoError as error:
        yield Finding(f"{study}: its definition cannot be loaded: {error}", "mend the script")
        return
    known = database.version_hashes(study)
    if hashes not in known.values():
        latest = known[max(known)]
        changed = ", ".join(key for key in hashes if latest.get(key) != hashes[key])
        yield Finding(
            f"{study} changed since its runs were made: {changed}",
            f"hpo run {shlex.quote(study)} --new-version, or change it back",
        )
