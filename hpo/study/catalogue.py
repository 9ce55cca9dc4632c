"""Finding study definitions, by name or by path: those that ship, and those in ``studies/`` here."""

import ast
import hashlib
import importlib.util
import os
import re
import shlex
import sys
import traceback
from pathlib import Path
from types import ModuleType

from hpo.errors import HpoError, InvalidOption, ScriptFailed, UnknownStudy
from hpo.fingerprint.ownership import STUDY_MARK
from hpo.process.failures import describe, exits_heard
from hpo.process.interrupts import is_interrupt
from hpo.study.definition import StudyDefinition, normalised_name
from hpo.units import nearest, one_line


def study_files() -> dict[str, Path]:
    """Name -> script of every study that can be run by name; a local one hides a shipped one of the same name."""
    found: dict[str, Path] = {}
    for folder in (_shipped(), Path("studies")):
        if os.path.isdir(folder):  # which is False, and no error, where the working directory cannot be read
            for path in sorted(folder.absolute().glob("[!_]*.py")):
                found[normalised_name(path.stem)] = path
    return found


def shipped_name(script: Path) -> str | None:
    """The name under which a script ships, or None: then it is the user's."""
    return normalised_name(script.stem) if script.parent == _shipped() else None


def _shipped() -> Path:
    # In a wheel the studies lie in the package; in a checkout beside it.
    here = Path(__file__).resolve().parents[1]
    return here / "studies" if (here / "studies").is_dir() else here.parent / "studies"


def summary(path: Path) -> str:
    """What a study's script says of itself, the first line of its docstring; it is not run, which takes seconds."""
    try:
        said = ast.get_docstring(ast.parse(path.read_bytes()))
    except (OSError, SyntaxError, ValueError) as error:
        return f"cannot be loaded: {one_line(error)}"
    return said.partition("\n")[0].rstrip(".") if said else "-"


def find_study(given: "StudyDefinition | str | Path") -> StudyDefinition:
    """The study definition of a name (``digits-mlp`` and ``digits_mlp`` alike) or of a script's path.

    Raises:
        UnknownStudy: there is none; the nearest names are in the message.
        ScriptFailed: the script raised while it was imported.

    Example:
        >>> import hpo
        >>> hpo.find_study("wine-tree").metric
        'neg_brier_score'
    """
    if isinstance(given, StudyDefinition):
        return given
    if not isinstance(given, (str, os.PathLike)):
        raise UnknownStudy(f"a study is a StudyDefinition, a name or the path of a script, not {given!r}")
    path = Path(given)
    if path.suffix == ".py" or os.path.isfile(path):  # unlike Path.is_file, whatever the text
        if not os.path.isfile(path):
            by_name = [name for name in study_files() if name == normalised_name(path.stem)]
            near = nearest(path.name, by_name or _scripts_beside(path))
            raise UnknownStudy(
                f"there is no script {str(given)!r}; {near}hpo studies lists the studies that can be run by name"
            )
        if path.suffix == ".csv":
            raise UnknownStudy(
                f"{path} is a table: hpo new NAME --csv {shlex.quote(str(path))} --target COLUMN writes a study of it"
            )
        return load_script(path)
    files = study_files()
    name = normalised_name(str(given))
    if name in files:
        return load_script(files[name])
    script = path.with_name(f"{path.name}.py") if path.name else path
    close = f"did you mean {script}?" if os.path.isfile(script) else nearest(name, files).strip()
    hint = close or f"known: {', '.join(files) or 'none'}"
    if re.fullmatch(r"\w+=.*", str(given)):
        hint = "the study comes first, then name=value"
    raise UnknownStudy(f"no study {str(given)!r}; {hint} (a script is named by its path, as in my_study.py)")


def _scripts_beside(path: Path) -> list[str]:
    """The Python files in the folder of a script that is not there."""
    try:
        return sorted(name for name in os.listdir(path.parent) if name.endswith(".py"))
    except OSError:
        return []


def study_named(name: str) -> StudyDefinition:
    """The study definition whose runs bear this name: one that can be run by name, or a script here called like it.

    Raises:
        UnknownStudy: there is none.
        ScriptFailed: the script raised while it was imported.
    """
    here = {normalised_name(path.stem): path for path in sorted(Path().glob("*.py"))}
    for files in (study_files(), here):
        path = files.get(normalised_name(name))
        if path is not None and (definition := load_script(path)).name == name:
            return definition
    if re.search("-[0-9a-f]{8}$", name):  # the fingerprint of its data: SearchCV's way of naming
        raise UnknownStudy(f"{name} is a search of hpo.SearchCV and has no script: its model is its best_estimator_")
    raise UnknownStudy(f"no script called like the study {name!r} was found in studies/ or here; name it with --study")


def load_script(path: Path) -> StudyDefinition:
    """Import a study script and return the one definition it builds."""
    path = path.resolve()
    # Two scripts of one name in different folders must not share a module.
    name = f"hpo_study_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UnknownStudy(f"{path} is not a Python script: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    setattr(module, STUDY_MARK, True)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))  # as when the script itself is run
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # leave no __pycache__ beside it
    try:
        with exits_heard():
            spec.loader.exec_module(module)
    except HpoError as error:
        raise type(error)(f"{path.name}: {error}") from error
    except BaseException as error:
        if is_interrupt(error):
            raise
        message = f"{path.name} raised {describe(error)}"
        raise ScriptFailed(message, _users_frames(error, path)) from error
    finally:
        sys.path.remove(str(path.parent))
        if str(path.parent) not in sys.path:  # its functions may import their neighbours later
            sys.path.append(str(path.parent))
        sys.dont_write_bytecode = writes_bytecode
    definition = _only_definition(module, path)
    object.__setattr__(definition, "script", path)
    return definition


def copy_study(name: str, to: "str | Path | None" = None) -> Path:
    """Copy a study that can be run by name to a script, by default in ``studies/`` here; no file is replaced.

    A script of another name makes a study of that name, so that its runs are not taken for those of the original.
    """
    files = study_files()
    source = files.get(normalised_name(name))
    if source is None:
        raise UnknownStudy(f"no study {name!r} to copy; known: {', '.join(files)}")
    target = Path.cwd() / (to or Path("studies", source.name))
    if target.suffix != ".py":
        raise InvalidOption(f"{target} cannot be run: give a name that ends in .py")
    if target.exists():
        raise InvalidOption(f"{target} exists already: move it away, edit it, or name another with --to")
    try:
        if to is None:
            target.parent.mkdir(exist_ok=True)
        target.write_text(_renamed(source, re.sub(r"[^\w .-]", "-", normalised_name(target.stem))), encoding="utf-8")
    except OSError as error:
        raise InvalidOption(f"{target} cannot be written: {error.strerror}") from error
    return target


def _renamed(source: Path, name: str) -> str:
    """The script with another name for its study, where it says the name in so many letters."""
    script = source.read_text(encoding="utf-8")
    own = re.escape(normalised_name(source.stem))
    return re.sub(rf"""(name=)(["']){own}\2""", lambda found: f"{found[1]}{found[2]}{name}{found[2]}", script)


def _only_definition(module: ModuleType, path: Path) -> StudyDefinition:
    found = {id(value): value for value in vars(module).values() if isinstance(value, StudyDefinition)}
    if len(found) != 1:
        names = ", ".join(definition.name for definition in found.values())
        raise UnknownStudy(
            f"{path} defines {f'{len(found)} studies ({names})' if found else 'no study'}: "
            "a script builds exactly one StudyDefinition at its top level"
        )
    return next(iter(found.values()))


def _users_frames(error: BaseException, path: Path) -> str:
    """The traceback from the script's first frame on; the error alone where the script did not even begin."""
    lines = traceback.TracebackException.from_exception(error)
    frames = list(lines.stack)
    first = next((i for i, frame in enumerate(frames) if Path(frame.filename) == path), None)
    if first is None:
        return "".join(lines.format_exception_only()).rstrip()
    lines.stack = traceback.StackSummary.from_list(frames[first:])
    return "".join(lines.format(chain=False)).rstrip()
