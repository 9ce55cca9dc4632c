"""Figures as PNG and SVG files, drawn by a Chrome or Chromium that is started once for all of them."""

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory

from hpo.comparison.drawing import Figure
from hpo.errors import InvalidOption, NoBrowser

FORMATS = ("png", "svg", "pdf")
_WIDTH = 900
_INSTALL = (
    "install one (Debian, Ubuntu: apt install chromium; elsewhere: plotly_get_chrome) "
    "or name it in the environment variable BROWSER_PATH"
)


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
        InvalidOption: an unknown format, or a folder that is a file.
        NoBrowser: there is no Chrome or Chromium, or it does not start.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or isinstance(formats, str):
        raise InvalidOption(f"formats={formats!r}: give a list of {', '.join(FORMATS)}")
    check_target(folder)
    target = Path(fspath(folder))
    with TemporaryDirectory(prefix="hpo-figures-") as made:
        wanted = [(name.replace("/", "-"), figure, kind) for name, figure in figures.items() for kind in formats]
        paths = [Path(made, f"{name}.{kind}") for name, _, kind in wanted]
        _draw([(figure, path) for (_, figure, _), path in zip(wanted, paths, strict=True)])
        target.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copyfile(path, target / path.name)) for path in paths]


def write_figure(figure: Figure, path: "str | PathLike[str]") -> None:
    """Write one figure as the file ``path``, whose ending is one of the formats.

    Raises:
        NoBrowser: there is no Chrome or Chromium, or it does not start.
        InvalidOption: the file cannot be written.
    """
    with TemporaryDirectory(prefix="hpo-figures-") as made:
        drawn = Path(made, f"figure{Path(fspath(path)).suffix.lower()}")
        _draw([(figure, drawn)])
        try:
            shutil.copyfile(drawn, fspath(path))
        except OSError as error:
            raise InvalidOption(f"{fspath(path)!r} cannot be written: {error.strerror or error}") from error


def check_target(folder: "str | PathLike[str]") -> None:
    """Raise where figures cannot be written to a folder, before hours are spent on what they show.

    Raises:
        InvalidOption: it is a file.
        NoBrowser: there is no Chrome or Chromium.
    """
    if Path(fspath(folder)).exists() and not Path(fspath(folder)).is_dir():
        raise InvalidOption(f"{fspath(folder)} is a file: give a folder for the figures")
    check_browser()


def check_browser() -> None:
    """Raise NoBrowser where there is no Chrome or Chromium to draw figures as files."""
    from choreographer.browsers.chromium import Chromium

    if not os.environ.get("BROWSER_PATH") and Chromium.find_browser(skip_local=False) is None:
        raise NoBrowser(f"figures as files are drawn by Chrome or Chromium, and there is none: {_INSTALL}")


def _draw(wanted: Sequence[tuple[Figure, Path]]) -> None:
    import kaleido
    from kaleido.errors import BrowserClosedError, BrowserFailedError, ChromeNotFoundError

    specs = [
        {"fig": figure, "path": path, "opts": {"width": _WIDTH, "scale": 2 if path.suffix == ".png" else 1}}
        for figure, path in wanted
    ]
    log = logging.getLogger("choreographer")  # tells of a browser that does not start, as the error does
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        # Without mathjax=False Kaleido's page fetches MathJax from a network.
        kaleido.write_fig_from_object_sync(specs, cancel_on_error=True, kopts={"mathjax": False})
    except ChromeNotFoundError as error:
        raise NoBrowser(f"figures as files are drawn by Chrome or Chromium, and there is none: {_INSTALL}") from error
    except (BrowserFailedError, BrowserClosedError) as error:
        raise NoBrowser(f"the Chrome or Chromium found does not start: {_INSTALL}") from error
    finally:
        log.setLevel(level)
