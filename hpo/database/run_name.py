"""The name of a run, ``digits-mlp@2/tpe/split0-seed0``: which study, sampler, split and seed."""

import re
from dataclasses import dataclass, field

from hpo.errors import UnknownRun

_PATTERN = re.compile(
    r"(?P<study>[^/@]+)(?:@(?P<version>[1-9]\d*))?/(?P<sampler>.+)/split(?P<split>\d+)-seed(?P<seed>\d+)"
)


@dataclass(frozen=True, eq=False, repr=False)
class RunName(str):
    """A run's name, which is a text, and its parts.

    Attributes:
        study: name of the study definition.
        version: 1, or higher once the definition has changed and ``--new-version`` was given.
        sampler: label of the sampler with its options; ``reference`` and ``manual`` name runs without one.
        split, seed: numbers from 0. So ``name.split`` is a number, and no method as that of other texts.
    """

    study: str
    version: int
    sampler: str
    split: int = field()  # type: ignore[assignment]  # str has a method of that name; str(name) has it still
    seed: int = field()

    def __new__(cls, study: str, version: int, sampler: str, split: int, seed: int) -> "RunName":
        """The text of these parts."""
        which = f"@{version}" if version > 1 else ""
        return super().__new__(cls, f"{study}{which}/{sampler}/split{split}-seed{seed}")

    def __getnewargs__(self) -> tuple[str, int, str, int, int]:  # type: ignore[override]
        return self.study, self.version, self.sampler, self.split, self.seed

    @property
    def versioned_study(self) -> str:
        """``digits-mlp`` or ``digits-mlp@2``."""
        return str(self).partition("/")[0]

    @classmethod
    def parse(cls, text: str) -> "RunName":
        """The parts of ``text``; raises UnknownRun where it is no run's name."""
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise UnknownRun(
                f"{text!r} is not a run's name: write one as in digits-mlp/tpe/split0-seed0; hpo list shows them"
            )
        return cls(
            study=match["study"],
            version=int(match["version"] or 1),
            sampler=match["sampler"],
            split=int(match["split"]),
            seed=int(match["seed"]),
        )


def unknown_run(run: str, names: list[str], database: str) -> str:
    """What is said where a database has no run of that name: the closest names that it has."""
    from difflib import get_close_matches

    close = get_close_matches(run, names, 3) or names[:3]
    more = ", ..." if len(names) > len(close) else ""
    return f"no run {run!r} in {database}" + (
        f"; there are {', '.join(close)}{more}" if close else ", which has no runs yet"
    )
