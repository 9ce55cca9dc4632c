"""Durations, sizes, and metrics as people read them: errors positive, lower is better."""

import itertools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from hpo.errors import InvalidOption

_MEGABYTES = {"KB": 1 / 1024, "MB": 1.0, "GB": 1024.0, "TB": 1024.0**2}
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

NOTHING = ("", "-")  # what a cell without content has


def parse_duration(text: str | float) -> float:
    """Seconds of ``90s``, ``30m``, ``8h``, ``1d`` or a plain positive number of seconds."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e[-+]?\d+)?)\s*([smhd]?)\s*", str(text))
    seconds = float(match[1]) * _SECONDS[match[2] or "s"] if match else 0.0
    if not 0 < seconds < math.inf:
        raise InvalidOption(f"cannot parse duration {text!r}: write 90s, 30m, 8h or 1d, above zero")
    return seconds


def format_duration(seconds: float) -> str:
    """A duration of ``seconds`` for people: ``0.3 s``, ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds < 9.5:
        return f"{seconds:.2g} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def parse_size(text: str | float) -> float:
    """MB (2**20 bytes) of ``500MB``, ``2GB`` or a plain positive number of MB."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]B)?\s*", str(text), re.IGNORECASE)
    megabytes = float(match[1]) * _MEGABYTES[(match[2] or "MB").upper()] if match else 0.0
    if not 0 < megabytes < math.inf:
        raise InvalidOption(f"cannot parse size {text!r}: write 500MB or 2GB, above zero")
    return megabytes


def format_size(megabytes: float) -> str:
    """A size of ``megabytes`` (2**20 bytes) for people: ``500 MB``, ``2.1 GB``."""
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1024:.3g} GB"


_DIGITS = 4  # significant ones that people are shown, ...
_MOST_DIGITS = 10  # ... and at most where numbers differ in later ones
_ALIKE = 1e-9  # relative difference below which two results are one: sums end differently


def digits_apart(numbers: Iterable[float | None], fewest: int = _DIGITS) -> int:
    """How many significant digits show which of these numbers differ."""
    known = sorted({float(number) for number in numbers if number is not None and math.isfinite(number)})
    pairs = [pair for pair in itertools.pairwise(known) if not math.isclose(*pair, rel_tol=_ALIKE)]
    for digits in range(fewest, _MOST_DIGITS):
        if all(number_text(low, digits) != number_text(high, digits) for low, high in pairs):
            return digits
    return _MOST_DIGITS if pairs else fewest


def number_text(number: float, digits: int = _DIGITS) -> str:
    """A number with so many significant digits, ending zeros kept: ``0.2500``, ``20824``; ``1.000e-05`` far from 1."""
    if not math.isfinite(number) or number == 0:
        return f"{number:.{digits - 1}f}"
    exponent = int(f"{number:.{digits - 1}e}".rpartition("e")[2])
    if not -5 < exponent < 7:
        return f"{number:.{digits - 1}e}"
    return f"{number:.{max(digits - 1 - exponent, 0)}f}"


def number_texts(numbers: Sequence[float], digits: int = _DIGITS) -> list[str]:
    """Numbers that are read beside each other, with the digits in which they differ."""
    digits = digits_apart(numbers, digits)
    return [number_text(number, digits) for number in numbers]


def rough_text(number: float, digits: int = 2) -> str:
    """A number of which the size matters: ``0.0012``, ``120``, ``12000``."""
    return f"{float(f'{number:.{digits}g}'):.12g}"


def share_text(share: float) -> str:
    """``42%``; a dash where it is not known."""
    return "-" if math.isnan(share) else f"{share:.0%}"


def counted(n: int, noun: str) -> str:
    """``1 trial``, ``2 trials``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def nearest(given: str, known: Iterable[str]) -> str:
    """Return ``did you mean --trials? `` where anything known is like what was given, else nothing."""
    names = list(known)
    last = [name for name in names if name.rpartition("__")[2].casefold() == given.casefold()]  # C for svc__C
    close = last[:2] or get_close_matches(given, names, 2)
    return f"did you mean {' or '.join(close)}? " if close else ""


def one_line(text: object) -> str:
    """A message without its line breaks."""
    return " ".join(str(text).split())


@dataclass(frozen=True)
class Metric:
    """How a metric is shown: its plain name, and whether lower is better.

    Scorers are higher-is-better and so carry errors negated (``neg_log_loss``). The database keeps that sign;
    what people read does not.

    Attributes:
        key: the scorer's name, as it is stored.
        sign: -1 for errors, +1 for scores.
    """

    key: str
    sign: int

    @classmethod
    def of(cls, scorer: "str | Callable[..., Any]") -> "Metric":
        """The metric of a scorer's name, or of a callable."""
        key = scorer if isinstance(scorer, str) else scorer_name(scorer)
        return cls(key, -1 if key.startswith("neg_") or getattr(scorer, "_sign", 1) == -1 else 1)

    @property
    def label(self) -> str:
        """``log loss`` for ``neg_log_loss``."""
        return self.key.removeprefix("neg_").replace("_", " ")

    @property
    def direction(self) -> str:
        """``lower is better`` or ``higher is better``."""
        return "lower is better" if self.sign == -1 else "higher is better"

    def shown(self, score: float) -> float:
        """The scorer's ``score`` as people read it."""
        return self.sign * score + 0.0  # + 0.0 turns -0.0 into 0.0

    def text(self, score: float | None, error: float | None = None, *, beside: Iterable[float | None] = ()) -> str:
        """The scorer's ``score`` as people read it, or a dash where there is none.

        Args:
            score: with four significant digits, or more where it is read beside others.
            error: follows ±.
            beside: the scores that it is read beside, of which it may be one itself.
        """
        if score is None or score != score:
            return "-"
        digits = digits_apart([score, *beside])
        return number_text(self.shown(score), digits) + ("" if error is None else f" ± {rough_text(error)}")

    def texts(self, scores: Sequence[float | None]) -> list[str]:
        """Scores that are read beside each other."""
        return [self.text(score, beside=scores) for score in scores]


def scorer_name(scorer: Callable[..., Any]) -> str:
    """The name under which a callable metric is stored: its own, or that of the function it wraps."""
    wrapped = getattr(scorer, "_score_func", scorer)
    return str(getattr(wrapped, "__name__", type(wrapped).__name__))
