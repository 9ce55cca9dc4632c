"""Which installed distribution a module belongs to: what none owns is the user's own code."""

import functools
import sys
import sysconfig
import types
from importlib import metadata
from pathlib import Path

STUDY_MARK = "__hpo_study__"  # set in modules loaded as study scripts: theirs is the user's source, wherever it lies

_STDLIB = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))
_INSTALLED = {"site-packages", "dist-packages"}  # below the standard library's folder, and no part of it


def is_library(module: types.ModuleType | None) -> bool:
    """Return whether a module belongs to Python or to an installed distribution, and not to the user's own code.

    The distribution that lists the file decides, wherever Python found it: in an environment, through PYTHONPATH,
    ``pip install --user`` or ``--target``, or a ``.pth`` file. A package that is installed in editable mode lists
    no files: it is code under development, and counts as the user's.
    """
    if module is None or module.__name__ == "__main__" or hasattr(module, STUDY_MARK):
        return False
    name, file = module.__name__, getattr(module, "__file__", None)
    if file is None:  # built in, or a namespace package, whose folders decide
        folders = tuple(getattr(module, "__path__", ()))
        return not folders or all(_is_installed(name, str(Path(folder, "__init__.py"))) for folder in folders)
    return _is_installed(name, str(file))


def distribution_of(module_name: str) -> tuple[str, str] | None:
    """Return name and version of the installed distribution that a module comes from; None: Python's own, or nobody's.

    Example:
        >>> distribution_of("sklearn.svm")[0]
        'scikit-learn'
    """
    return _name_and_version(module_name.partition(".")[0], tuple(sys.path))


@functools.cache
def _name_and_version(package: str, path: tuple[str, ...]) -> tuple[str, str] | None:
    # Kept, because each look at a distribution's name or version parses its metadata.
    found = _distributions(path).get(package)
    return (found[0].name, found[0].version) if found else None


@functools.cache
def _is_installed(name: str, file: str) -> bool:
    top = name.partition(".")[0]
    if top == "hpo":  # also in a checkout of this package: a study must not change with it
        return True
    path = Path(file)
    if top in sys.stdlib_module_names and _is_of_python(path):
        return True
    owners = _distributions(tuple(sys.path)).get(top, ())
    return any(_owns(owner, path) for owner in owners)


def _is_of_python(path: Path) -> bool:
    resolved = path.resolve()
    return any(
        resolved.is_relative_to(folder) and not _INSTALLED & set(resolved.relative_to(folder).parts)
        for folder in _STDLIB
    )


@functools.cache
def _distributions(path: tuple[str, ...]) -> dict[str, tuple[metadata.Distribution, ...]]:
    """Name of each importable package -> the distributions that have files of it, in the order of ``sys.path``."""
    wanted = metadata.packages_distributions()
    names = {name for found in wanted.values() for name in found}
    known = {name: tuple(metadata.distributions(name=name)) for name in names}
    return {package: tuple(d for name in found for d in known[name]) for package, found in wanted.items()}


def _owns(distribution: metadata.Distribution, path: Path) -> bool:
    """Return whether a distribution lists a file; where it has no list (as Debian's), whether it lies in its folder."""
    root = Path(str(distribution.locate_file("")))
    listed = _listed(distribution)
    for base, file in ((root, path), (root.resolve(), path.resolve())):
        if file.is_relative_to(base):
            relative = file.relative_to(base).as_posix()
            return listed is None or f"\n{relative}," in listed or f'\n"{relative}",' in listed
    return False


@functools.cache
def _listed(distribution: metadata.Distribution) -> str | None:
    record = distribution.read_text("RECORD")
    return None if record is None else f"\n{record}"
