"""The run that a command is given by name: a run's, or a study's, whose best run is meant."""

from hpo.database.run_name import RunName, unknown_run
from hpo.database.study_database import StudyDatabase
from hpo.errors import UnknownRun
from hpo.runs.origin import find_in, to_make
from hpo.runs.run import Run, best_run
from hpo.study.definition import normalised_name


def named_run(given: str, database: StudyDatabase, study: str | None = None) -> Run:
    """Return the run of that name, or the best run on split 0 of the study of that name, or of a script.

    Args:
        given: name of a run or of a study, or the path of a script.
        database: that has it.
        study: name or script of the definition; None leaves it to what the run remembers.

    Raises:
        UnknownRun: there is none; the message ends with the command that makes it.
    """
    rows = database.run_rows()
    names = [str(row["run"]) for row in rows]
    studies = dict.fromkeys(str(row["study"]) for row in rows if row["study"] is not None)
    if given in names:
        run = Run(given, database)
    elif _is_run(given):
        raise UnknownRun(f"{unknown_run(given, names, database.name)}; {to_make(given, database)}")
    else:
        wanted = (name for name in studies if normalised_name(name) == normalised_name(given))
        run = best_run(next(wanted, None) or find_in(given, database), database)
    if study is not None:
        run.definition = find_in(study, database)
    return run


def studies_named(given: str, database: StudyDatabase) -> list[str]:
    """Return the stored names of the studies that have runs and are meant by a name, or by the path of a script.

    Raises:
        UnknownRun: there is none.
        UnknownStudy, ScriptFailed: there is no such script, or it cannot be loaded.
    """
    known = list(dict.fromkeys(str(row["study"]) for row in database.run_rows() if row["study"] is not None))
    name = find_in(given, database).name if given.endswith(".py") else given
    found = [study for study in known if normalised_name(study) == normalised_name(name)]
    if not found:
        there = f"there are {', '.join(known)}" if known else "it has no runs yet"
        raise UnknownRun(f"no run of a study {given!r} in {database.name}; {there}")
    return found


def _is_run(given: str) -> bool:
    try:
        RunName.parse(given)
    except UnknownRun:
        return False
    return True
