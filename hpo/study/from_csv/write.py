"""A study of one's own from a CSV file: a short script that reads as if written by hand, and runs at once."""

import os
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from hpo.errors import HpoError, InvalidOption
from hpo.study.catalogue import load_script, study_files
from hpo.study.definition import normalised_name
from hpo.study.from_csv.columns import CLASSIFICATION, Columns, Target, find_target, sort_columns
from hpo.study.from_csv.leaks import find_leaks
from hpo.study.from_csv.read import CsvTable, read_table
from hpo.study.from_csv.script import study_script
from hpo.study.splits import partition


@dataclass(frozen=True)
class NewStudy:
    """A study that was written.

    Attributes:
        path: of the script.
        name: of the study.
        target, columns: what the file's columns were taken for.
        table: what was read, and how.
        leaks: name -> what makes a column suspicious, see :func:`hpo.study.from_csv.leaks.find_leaks`.
    """

    path: Path
    name: str
    target: Target
    columns: Columns
    table: CsvTable
    leaks: Mapping[str, str]


def write_study(
    name: str,
    csv: "str | Path",
    target: str | None,
    *,
    to: "str | Path | None" = None,
    task: str | None = None,
    dates: bool = False,
) -> NewStudy:
    """Write a study script for a CSV file, by default to ``studies/`` here; no file is replaced.

    Args:
        name: of the study; the script is called like it.
        csv: the file; the script names it relative to itself.
        target: the column to predict; None is refused, with the columns that there are.
        to: the script's path.
        task: ``classification`` or ``regression``, where the target's values tell it wrongly.
        dates: whether year, month and weekday of dates are learned from.

    Raises:
        InvalidOption: the name is taken or cannot be, the file cannot be read or its target not be learned.
    """
    stem = _stem(name)
    path = Path.cwd() / (to or Path("studies", f"{stem}.py"))
    if path.suffix != ".py":
        raise InvalidOption(f"{path} cannot be run: give a name that ends in .py")
    if path.exists():
        raise InvalidOption(f"{path} exists already: move it away, edit it, or name another with --to")
    taken = study_files().get(normalised_name(stem))
    if taken is not None:
        raise InvalidOption(f"a study {normalised_name(stem)!r} exists already, in {taken}: choose another name")
    table = read_table(Path(csv), target)
    found = find_target(table.frame, target, task)
    columns = sort_columns(table.frame, found, keep_dates=dates)
    leaks = find_leaks(table.frame, found, columns)
    study = NewStudy(path, normalised_name(stem), found, columns, table, leaks)
    made_folder = to is None and not path.parent.exists()
    try:
        if to is None:
            path.parent.mkdir(exist_ok=True)
        place = _relative(Path(csv), path)
        script = study_script(study.name, place, found, columns, table.options, amounts=table.amounts, leaks=leaks)
        with path.open("x", encoding="utf-8") as file:
            file.write(script)
    except OSError as error:
        raise InvalidOption(f"{path} cannot be written: {error.strerror}") from error
    try:
        _check_runs(path, found)
    except HpoError as error:  # such a file is of no use to anybody
        path.unlink()
        if made_folder:
            path.parent.rmdir()
        raise InvalidOption(f"no study can be made of {csv}: {error}") from error
    return study


def _stem(name: str) -> str:
    """The file's name for a study's name."""
    stem = normalised_name(name).replace("-", "_")
    if not stem.isidentifier() or stem.startswith("_") or len(stem) > 60:
        raise InvalidOption(f"a study cannot be named {name!r}: use up to 60 letters, digits and -, a letter first")
    if stem in {"hpo", *sys.stdlib_module_names} or PathFinder.find_spec(stem, _installed()) is not None:
        raise InvalidOption(f"a study cannot be named {name!r}: its script would hide the Python package of that name")
    return stem


def _installed() -> list[str]:
    return [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]


def _check_runs(path: Path, target: Target) -> None:
    definition = load_script(path)
    data = definition.load()
    is_classifier = target.task == CLASSIFICATION
    partition(definition.split, data.X, data.y, None, number=0, is_classifier=is_classifier)


def _relative(csv: Path, script: Path) -> Path:
    """The file's path from the script's folder, with which it may be moved; as it is on another drive."""
    whole = csv.parent.resolve() / csv.name
    try:
        return Path(os.path.relpath(whole, script.parent.resolve()))
    except ValueError:
        return whole
