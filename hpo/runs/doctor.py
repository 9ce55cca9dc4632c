"""A check-up of a study database: what is wrong, and the command that mends it."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hpo.database import locks, run_rows, trial_columns
from hpo.database.opening import mysql_repairs
from hpo.database.records import RUN_ID
from hpo.database.run_name import RunName
from hpo.database.study_database import StudyDatabase
from hpo.errors import HpoError, UnusableDatabase
from hpo.runs.origin import pasted, stored_origin, study_at_hand, study_word, to_run
from hpo.samplers.table import RESERVED
from hpo.study.definition import StudyDefinition


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        what: in one sentence.
        mend: the command, or the words, that mend it.
    """

    what: str
    mend: str


def examine(database: StudyDatabase, *, evaluate: bool = False) -> Iterator[Finding]:
    """Yield what is wrong: the file's integrity, trials that others wrote, interrupted runs, changed definitions.

    Args:
        database: to examine.
        evaluate: whether a stored trial of each study and split is evaluated again, which takes as long as it took.
    """
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
    ours = [row for row in database.run_rows() if row["study"] is not None]
    ids = database.ask(run_rows.run_ids)
    counts, strange = database.ask(trial_columns.trial_counts), database.ask(trial_columns.strange_runs)
    own_ids = database.attribute_of_runs(RUN_ID)
    for row in ours:
        study_id = ids.get(str(row["run"]))
        if study_id is None:  # deleted meanwhile
            continue
        if study_id in strange:
            yield from _trials(database, str(row["run"]), study_id)
        yield from _lost(database, str(row["run"]), str(own_ids.get(row["run"], "")), counts.get(study_id, 0))
        yield from _interrupted(database, row, study_id)
    for study in dict.fromkeys(str(row["study"]) for row in ours):
        yield from _definition(database, study)
        if evaluate:
            yield from _outcomes(database, study, ours)


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


def _trials(database: StudyDatabase, run: str, study_id: int) -> Iterator[Finding]:
    for position, trial in enumerate(database.optuna_trials(study_id, attributes=("configuration",))):
        is_ours = "configuration" in trial.user_attrs and trial.state.is_finished()
        if trial.number != position or not is_ours:
            yield Finding(
                f"{run}: trial {trial.number} ({trial.state.name}) was written by something else, so that the run "
                "cannot be continued",
                pasted(["hpo", "delete", run], database),
            )
            return


def _lost(database: StudyDatabase, run: str, run_id: str, n_found: int) -> Iterator[Finding]:
    n_lost = database.n_lost(run_id, n_found)
    if n_lost and database.path is not None:
        plural = "trials that were recorded are" if n_lost > 1 else "trial that was recorded is"
        yield Finding(
            f"{run}: {n_lost} {plural} gone; the file or the -wal beside it was damaged or replaced",
            f"put back a copy of the file together with its -wal, or go on without them: "
            f"rm {shlex.quote(str(locks.count_file(database.path, run_id)))}",
        )


def _interrupted(database: StudyDatabase, row: dict[str, object], study_id: int) -> Iterator[Finding]:
    run = str(row["run"])
    if row["sampler"] in RESERVED or str(row["state"]).startswith("done"):
        return
    attributes = database.attributes(study_id)
    stored = attributes.get("holder")
    try:
        with locks.locked(database.engine, database.path, str(attributes.get(RUN_ID, ""))):
            pass
    except (locks.Taken, UnusableDatabase):
        return  # under way, or a file that cannot be written, of which nobody knows
    told = sum(int(str(row[state])) for state in ("complete", "failed", "pruned"))
    how = f"was interrupted ({locks.describe(stored)} is gone)" if stored else "is unfinished"
    yield Finding(f"{run} {how}: {told} of {row['budget']} trials", to_run(run, database))


def _definition(database: StudyDatabase, study: str) -> Iterator[Finding]:
    """Whether the definition that can be found by this name is the one the runs were made with."""
    try:
        definition = study_at_hand(study, database)
        if definition is None:
            return
        data = definition.load()
        known = database.version_hashes(study)
        today = definition.hashes(data)
        hashes = {number: definition.hashes(data, known[number], today=today) for number in known}
    except HpoError as error:
        yield Finding(f"{study}: its definition cannot be loaded: {error}", "mend the script")
        return
    if not any(hashes[number] == known[number] for number in known):
        latest, ours = known[max(known)], hashes[max(known)]
        changed = ", ".join(key for key in ours if latest.get(key) != ours[key])
        yield Finding(
            f"{study} changed since its runs were made: {changed}",
            f"{_anew(definition, database)}, or undo the change",
        )


def _anew(definition: StudyDefinition, database: StudyDatabase) -> str:
    study = study_word(definition.name, stored_origin(definition, database), database)
    return pasted(["hpo", "run", study, "--new-version"], database)


def _outcomes(database: StudyDatabase, study: str, rows: list[dict[str, Any]]) -> Iterator[Finding]:
    """Whether the definition that can be found by this name gives the scores that are stored, split by split."""
    try:
        definition = study_at_hand(study, database)
        if definition is None:
            return
        from hpo.runs.session import StudySession  # only here, as it imports all that evaluates

        session = StudySession(definition, database)
    except HpoError:  # it cannot be loaded, or changed: found already
        return
    first: dict[int, str] = {}  # of each split: the reference, where it was evaluated
    for row in sorted(rows, key=lambda row: row["sampler"] != "reference"):
        is_own = (row["study"], row["version"]) == (study, session.version) and row["sampler"] != "manual"
        if is_own and int(row["complete"]) > 0:
            first.setdefault(int(row["split"]), str(row["run"]))
    for _, run in sorted(first.items()):
        timed = database.timed_trials(run)
        if not timed:
            continue
        cheapest = min(timed, key=lambda trial: (trial.fold_seconds, trial.number))
        found = session.reproduce(RunName.parse(run), cheapest.number)
        if found is not None and not found.holds:
            yield Finding(
                f"{study} no longer gives its stored scores: {found.sentence}",
                f"{_anew(definition, database)}, or undo the change",
            )
