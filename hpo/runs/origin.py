"""Where the study of a run came from: a name or a script, stored with the run, so that the run's name is enough."""

import ast
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from hpo.database.opening import as_url
from hpo.database.passwords import hide_passwords
from hpo.database.run_name import RunName
from hpo.database.study_database import StudyDatabase
from hpo.errors import UnknownRun, UnknownStudy, UnusableDatabase
from hpo.study.catalogue import find_study, load_script, shipped_name, study_files, study_named
from hpo.study.definition import StudyDefinition, normalised_name

ORIGIN = "origin"  # the attribute of a run
_STUDIES = "hpo studies lists the studies that can be run"
_ADVICE = f"{_STUDIES}, and hpo list the runs that there are"
_LONGEST = 500  # characters; the dashboard reads all attributes for every page


def stored_origin(definition: StudyDefinition, database: StudyDatabase) -> str | None:
    """Return what a run remembers of its study's place; None where it has none, as in a notebook.

    It is the name of a study that ships, or the path of a script: relative to the folder of the database's file
    where that can be, with ``/`` between the folders.
    """
    script = definition.script or _running_script(definition)
    if script is None:
        return None
    name = shipped_name(script)
    if name is not None:
        return name
    path = _relative_to(script, database)
    return path if len(path) <= _LONGEST else None


def study_of(run: "RunName | str", database: StudyDatabase) -> StudyDefinition:
    """Return the definition that a stored run was made with, from where the run says that it came from.

    Runs of earlier versions of this package do not say it; then a study or script here of that name is meant.

    Raises:
        UnknownStudy: it was not found, or is not to be run.
        ScriptFailed: the script raised while it was imported.
    """
    name = run if isinstance(run, RunName) else RunName.parse(run)
    origin = database.run_attributes(str(name)).get(ORIGIN)
    definition = None if origin is None else _loaded(str(origin), database)
    if definition is not None and definition.name == name.study:
        return definition
    try:
        return study_named(name.study)
    except UnknownStudy as error:
        if origin is None:
            raise
        raise UnknownStudy(
            f"the study of {name} came from {_found(str(origin), database)}, which is not there or defines another "
            f"study now: put it back, or name its script (hpo run SCRIPT.py; hpo show and hpo export with --study)"
        ) from error


def study_at_hand(study: str, database: StudyDatabase) -> StudyDefinition | None:
    """Return the definition of a study that has runs, where its script is here; raises like :func:`study_of`."""
    origin = _origin_of(study, database)
    definition = None if origin is None else _loaded(origin, database)
    if definition is None and normalised_name(study) in study_files():
        definition = find_study(study)
    return definition


def find_in(given: "StudyDefinition | str | Path", database: "StudyDatabase | str | os.PathLike[str] | None") -> (
    StudyDefinition
):  # fmt: skip
    """Return the study meant by a name, a script's path, or the name of a study or run that the database has.

    Args:
        given: as for :func:`hpo.find_study`, or the name of a run, or that of a study that has runs.
        database: where such runs are looked for; it is not created.

    Raises:
        UnknownStudy, ScriptFailed: as :func:`hpo.find_study`.
    """
    is_known = not isinstance(given, str) or given.endswith(".py") or normalised_name(given) in study_files()
    known = None if is_known or is_unopened(database) else _run_of(str(given), database)
    if known is None:
        return find_study(given)
    name, opened = known
    try:
        return study_of(name, opened)
    finally:
        if opened is not database:
            opened.close()


def existing(given: "str | None", what: str) -> StudyDatabase:
    """Return a database that has to be there already.

    Args:
        given: as for :class:`StudyDatabase`.
        what: name of the run or study that is wanted of it.

    Raises:
        UnusableDatabase: it is not there; the message ends with the command that makes both.
    """
    if is_unopened(given) and as_url(given).database not in (None, "", ":memory:"):
        with StudyDatabase(":memory:") as nothing:
            words = _words_to_make(what, nothing)
        where = [] if given is None else ["--database", given]
        how = _STUDIES if words is None else f"to make {what}: {shlex.join([*words, *where])}"
        raise UnusableDatabase(f"there is no study database at {as_url(given).database} yet; {how}")
    return StudyDatabase(given, must_exist=True)


def is_unopened(database: "StudyDatabase | str | os.PathLike[str] | None") -> bool:
    """Return whether there is nothing to look into: no file yet, or a database in memory."""
    if isinstance(database, StudyDatabase):
        return False
    url = as_url(database)
    if url.get_backend_name() != "sqlite":
        return False
    path = str(url.database)
    return url.database in (None, "", ":memory:") or not os.path.exists(path) or os.path.getsize(path) == 0


def study_word(study: str, origin: str | None, database: StudyDatabase) -> str:
    """Return what a command is given for STUDY, from this folder: the name where that leads to it, else the path."""
    if origin is None or not origin.endswith(".py"):
        return study if origin is None else origin
    path = _found(origin, database)
    files = study_files()
    by_name = files.get(normalised_name(path.stem))
    if by_name is not None and by_name.resolve() == path:
        return normalised_name(path.stem)
    try:
        relative = os.path.relpath(path)
    except (ValueError, OSError):  # another drive, or no working directory
        return str(path)
    return str(path) if relative.startswith(os.path.join("..", "..")) else relative


def study_words(study: str, origin: str | None, database: StudyDatabase) -> tuple[str, ...]:
    """Return what a command is given for STUDY, and the options that lead to the database."""
    return study_word(study, origin, database), *database_words(database)


def pasted(words: Sequence[str], database: StudyDatabase) -> str:
    """Return a command line to paste in this folder: with quotes where needed, and the database unless the default.

    The password of a server is in no command: it is left to the client's own ways, as a password file.
    """
    return shlex.join([*words, *database_words(database)])


def to_run(run: str, database: StudyDatabase) -> str:
    """Return the command that goes on with a stored run up to its budget."""
    name, stored = RunName.parse(run), database.run_attributes(run)
    words = ["hpo", "run", study_word(name.study, stored.get(ORIGIN), database), "--sampler", name.sampler]
    words += ["--split", str(name.split), "--seed", str(name.seed), "--trials", str(stored.get("budget"))]
    return pasted(words, database)


def to_make(what: "StudyDefinition | RunName | str", database: StudyDatabase) -> str:
    """Return what makes a run, or a study's first run, that a database does not have, to end a message with."""
    words = _words_to_make(what, database)
    return _ADVICE if words is None else f"to make one: {pasted(words, database)}"


def _words_to_make(what: "StudyDefinition | RunName | str", database: StudyDatabase) -> list[str] | None:
    """The command without its database; None where nothing here is such a study."""
    if isinstance(what, StudyDefinition):
        return ["hpo", "run", study_word(what.name, stored_origin(what, database), database)]
    try:
        name = what if isinstance(what, RunName) else RunName.parse(what)
    except UnknownRun:
        given = str(what)
        if normalised_name(given) in study_files() or os.path.isfile(given):
            return ["hpo", "run", given]
        known = _origin_of(given, database)
        return None if known is None else ["hpo", "run", study_word(given, known, database)]
    known = _origin_of(name.study, database)
    if known is None and normalised_name(name.study) not in study_files():
        return None
    study = study_word(name.study, known, database)
    if name.sampler == "manual":
        return ["hpo", "try", study, *(["--split", str(name.split)] if name.split else [])]
    words = ["hpo", "run", study]
    words += [] if name.sampler == "reference" else ["--sampler", name.sampler]
    words += ["--split", str(name.split)] if name.split else []
    return words + (["--seed", str(name.seed)] if name.seed else [])


def _origin_of(study: str, database: StudyDatabase) -> str | None:
    """Where other runs of a study came from, the last first; else a script here that is called like it."""
    for run, origin in reversed(database.attribute_of_runs(ORIGIN).items()):
        if run.partition("/")[0].partition("@")[0] == study:
            return str(origin)
    if normalised_name(study) not in study_files():
        here = {normalised_name(path.stem): path for path in sorted(Path().glob("*.py"))}
        if normalised_name(study) in here:
            return _relative_to(here[normalised_name(study)].resolve(), database)
    return None


def database_words(database: StudyDatabase) -> list[str]:
    """Return ``--database`` with the shortest address of a database, or nothing for the default one."""
    if as_url(None).render_as_string(hide_password=False) == database.url:
        return []
    if database.path is None:
        address = as_url(database.url).set(password=None).render_as_string(hide_password=False)
        return ["--database", hide_passwords(address)]
    try:
        relative = os.path.relpath(database.path)
    except (ValueError, OSError):
        relative = str(database.path)
    return ["--database", str(database.path) if relative.startswith("..") else relative]


def _run_of(given: str, database: "StudyDatabase | str | os.PathLike[str] | None") -> (
    "tuple[str, StudyDatabase] | None"
):  # fmt: skip
    """The run of this name, or the last run of the study of this name, that says where its study came from."""
    opened = database if isinstance(database, StudyDatabase) else StudyDatabase(database)
    origins = opened.attribute_of_runs(ORIGIN)
    wanted = normalised_name(given)
    for run in reversed(origins):
        try:
            name = RunName.parse(run)
        except UnknownRun:
            continue
        if run == given or normalised_name(name.study) == wanted:
            return run, opened
    if opened is not database:
        opened.close()
    return None


def _loaded(origin: str, database: StudyDatabase) -> StudyDefinition | None:
    """The definition at an origin; None where there is none, or where a stranger may have put it there."""
    if not origin.endswith(".py"):
        return find_study(origin) if normalised_name(origin) in study_files() else None
    path = _found(origin, database)
    return load_script(path) if may_be_run(path) else None


def _found(origin: str, database: StudyDatabase) -> Path:
    if not origin.endswith(".py"):
        return Path(origin)
    base = Path.cwd() if database.path is None else database.path.parent.resolve()
    return Path(os.path.normpath(base / Path(PurePosixPath(origin))))


def may_be_run(path: Path) -> bool:
    """Return whether a script that a database names may be imported: a database may be a stranger's.

    It must be a file of this machine that uses this package, and the user's own or below the working directory.
    """
    if str(path).startswith(("\\\\", "//")) or not os.path.isfile(path):
        return False
    try:
        is_own = not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()
        is_here = path.resolve().is_relative_to(Path.cwd())
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    names = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    return (is_own or is_here) and "hpo" in names


def _relative_to(script: Path, database: StudyDatabase) -> str:
    if database.path is None:
        return script.as_posix()
    try:
        return Path(os.path.relpath(script, database.path.parent.resolve())).as_posix()
    except ValueError:  # on another drive
        return script.as_posix()


def _running_script(definition: StudyDefinition) -> Path | None:
    """The script that is being run, where it made the definition and can be imported without doing all again."""
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if file is None or not file.endswith(".py") or not any(value is definition for value in vars(main).values()):
        return None
    try:
        path = Path(file).resolve()
        return path if "__name__" in path.read_text(encoding="utf-8") else None
    except (OSError, ValueError):
        return None
