"""Figures as PNG, SVG and PDF files."""

import shutil
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory

from hpo.errors import InvalidOption
from hpo.figures.figure import Figure
from hpo.figures.matplotlib_figure import write_files

FORMATS = ("png", "svg", "pdf")


def write_figures(
    figures: Mapping[str, Figure], folder: "str | PathLike[str]", formats: Sequence[str] = ("png", "svg")
) -> list[Path]:
    """Write each figure in each format as ``folder/NAME.FORMAT``: all of them or, where something fails, none.

    Args:
        figures: by name; a slash in a name becomes a dash.
        folder: made if it is not there; files of the same names are replaced.
        formats: of ``png`` (twice the resolution of a screen), ``svg``, ``pdf``.

    Returns:
        The files, in the figures' order.

    Raises:
        InvalidOption: an unknown format, or a folder that is a file or cannot be written.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or isinstance(formats, str):
        raise InvalidOption(f"formats={formats!r}: give a list of {', '.join(FORMATS)}")
    check_target(folder)
    target = Path(fspath(folder))
    with TemporaryDirectory(prefix="hpo-figures-") as made:
        drawn: list[Path] = []
        for name, figure in figures.items():
            paths = [Path(made, f"{name.replace('/', '-')}.{kind}") for kind in formats]
            write_files(figure, paths)
            drawn += paths
        try:
            target.mkdir(parents=True, exist_ok=True)
            return [Path(shutil.copyfile(path, target / path.name)) for path in drawn]
        except OSError as error:
            raise InvalidOption(f"{fspath(folder)!r} cannot be written: {error.strerror or error}") from error


def write_figure(figure: Figure, path: "str | PathLike[str]") -> None:
    """Write one figure as the file ``path``, whose ending is one of the formats.

    Raises:
        InvalidOption: the file cannot be written.
    """
    with TemporaryDirectory(prefix="hpo-figures-") as made:
        drawn = Path(made, f"figure{Path(fspath(path)).suffix.lower()}")
        write_files(figure, [drawn])
        try:
            shutil.copyfile(drawn, fspath(path))
        except OSError as error:
            raise InvalidOption(f"{fspath(path)!r} cannot be written: {error.strerror or error}") from error


def check_target(folder: "str | PathLike[str]") -> None:
    """Raise where figures cannot be written to a folder, before hours are spent on what they show.

    Raises:
        InvalidOption: it is a file.
    """
    if Path(fspath(folder)).exists() and not Path(fspath(folder)).is_dir():
        raise InvalidOption(f"{fspath(folder)} is a file: give a folder for the figures")
