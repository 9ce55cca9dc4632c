"""The short note on a run's page in optuna-dashboard: where its comparison is, what was chosen, what was learned."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from optuna.trial import FrozenTrial

from hpo.database.stored_runs import StoredRun
from hpo.units import format_duration, format_size

PATH = "/comparison/"
LONGEST = 60  # characters of a value
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~&:@])")


def comparison_path(study: str) -> str:
    """Where the comparison of a study (with its version) is served."""
    return PATH + quote(study, safe="")


def run_note(run: StoredRun, best: FrozenTrial | None, reference: float | None, importance: str = "") -> str:
    """Markdown: a link to the run's comparison, how far it is, and a table of its best trial.

    Args:
        run: with how many trials it has.
        best: its best trial, or None before the first success.
        reference: score of the usual hyperparameters on the same split, or None where it is not known.
        importance: of the hyperparameters, in a line, as ``hpo show`` has it; empty where it is not known.
    """
    name, metric = run.name, run.metric
    n_failed = f", {run.n_failed} failed" if run.n_failed else ""
    link = f"**[Compare samplers on {_plain(name.versioned_study)}]({comparison_path(name.versioned_study)})**"
    lead = f"{link} — {_plain(name.sampler)}, split {name.split}, seed {name.seed}: {run.n_told} of {run.budget} trials"
    lead += f" ({run.state}{n_failed})"
    if best is None:
        return lead
    seconds = [best.user_attrs.get(f"{part}_seconds") for part in ("fit", "score", "sampler")]
    spent = ", ".join(
        f"{part} {format_duration(value)}"
        for part, value in zip(("fit", "score", "sampler"), seconds, strict=True)
        if value is not None
    )
    memory, learned = best.user_attrs.get("peak_memory_mb"), best.user_attrs.get("n_model_parameters")
    train = best.user_attrs.get("train_score")
    scores = metric.texts([best.value, train, reference])
    rows = {
        f"{metric.label} on validation rows, {metric.direction}": scores[0],
        f"{metric.label} on training rows": None if train is None else scores[1],
        f"{metric.label} of the reference": None if reference is None else scores[2],
        "hyperparameters, set by the sampler": _values(best.params, best.user_attrs),
        "importance for the score": _plain(importance) or None,
        "model parameters, learned in training": None if learned is None else f"{learned:,}",
        "cost of this trial": spent or None,
        "peak memory": None if memory is None else format_size(memory),
    }
    lines = [f"| {_plain(what)} | {value} |" for what, value in rows.items() if value is not None]
    return "\n".join([lead, "", f"| best trial so far | {best.number} |", "|---|---|", *lines])


def _values(params: Mapping[str, Any], attributes: Mapping[str, Any]) -> str:
    """``width = 64, solver = adam``; the value itself where the quantile of a distribution is searched."""
    return ", ".join(
        f"{_plain(name)} = {_plain(_short(attributes.get(name, value)))}" for name, value in params.items()
    )


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _plain(text: str) -> str:
    """The text as Markdown that shows just this."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
