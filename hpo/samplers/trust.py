"""What a database may hold that the sampler of somebody else would run as code."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from hpo.errors import UntrustedDatabase

# Where Optuna and its dashboard keep text themselves, which is read as JSON or shown.
_TEXT_OF_OPTUNA = ("tpe:", "gp:", "study:", "dashboard:", "artifacts:", "fixed_params", "search_space")


def refuse_programs(run: str, sampler: str, sampler_state: Mapping[str, Any], trials: Sequence[FrozenTrial]) -> None:
    """Refuse to show a sampler that is not ours what it may take for a pickle: any text that is not Optuna's own.

    A pickle can look like anything, so text is not told apart; numbers and lists of them pass.

    Args:
        run, sampler: named in the message.
        sampler_state: study attributes that were stored for it.
        trials: stored ones.

    Raises:
        UntrustedDatabase: which attribute it is.
    """
    for key in _keys_with_text([sampler_state, *(trial.system_attrs for trial in trials)]):
        raise UntrustedDatabase(
            f"{run} holds text that its sampler {sampler} stored ({key[:60]!r}) and that may be a pickle: whoever can "
            "write to the database could run code here; if you trust all of them, say --trust-database "
            "(trust_database=True)"
        )


def _keys_with_text(attributes: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for values in attributes:
        for key, value in values.items():
            if not key.startswith(_TEXT_OF_OPTUNA) and _has_text(value):
                yield key


def _has_text(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_text, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_has_text, value))
    return isinstance(value, str)
