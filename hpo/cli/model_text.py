"""What the commands for one model print."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpo.cli.text import say, show_warnings, table
from hpo.runs.manual import is_better
from hpo.units import counted, format_duration, format_size, number_text, one_line, rough_text

if TYPE_CHECKING:
    from hpo.runs.final_model import Exported
    from hpo.runs.manual import Tried
    from hpo.study.from_csv.write import NewStudy


_N_NAMES = 12  # columns that hpo new lists


def show_exported(exported: "Exported", path: str) -> None:
    """What ``hpo export`` wrote, what it scored, and how to load it."""
    metric = exported.metric
    say(
        f"trial {exported.trial} of {exported.run}, trained on training and validation rows in "
        f"{format_duration(exported.fit_seconds)}"
    )
    rows = [["validation rows", *metric.texts([exported.value, exported.reference])]]
    if exported.test is not None:
        rows.append(
            [
                "sealed test rows",
                metric.text(exported.test, exported.test_error, beside=[exported.reference_test]),
                metric.text(exported.reference_test, exported.reference_test_error, beside=[exported.test]),
            ]
        )
    table([f"{metric.label} ({metric.direction})", "this model", "reference"], rows)
    if exported.test_error is not None:
        say(f"± is the 95% interval for other test rows. {exported.reading}".rstrip())
    say(exported.about_test)
    if exported.warnings:
        show_warnings("warnings of the fit", exported.warnings)
    size = format_size(exported.n_bytes / 2**20) if exported.n_bytes >= 2**20 else counted(exported.n_bytes, "byte")
    say(f"wrote {exported.file} ({size}), manifest.json and README.md (the model card) to {exported.path}")
    more = f", trusted={list(exported.types)!r}" if exported.types else ""
    more += ", allow_pickle=True" if exported.file.endswith(".joblib") else ""
    say(f'load it: hpo.load_model({path!r}, digest="{exported.digest}"{more})')


def show_try(tried: "Tried") -> None:
    """What became of a try, against the try before it, the reference and all others."""
    metric, trial, previous, reference = tried.metric, tried.trial, tried.previous, tried.reference
    say(f"{tried.run.name}, trial {trial.number}")
    before = {} if previous is None else previous.params
    header = ["hyperparameter", "this try", *(["last try"] if previous is not None else []), "reference"]
    names = [*trial.params, *(name for name in tried.changed if name not in trial.params)]
    rows = [
        [
            f"{name} *" if name in tried.changed else name,
            _short(trial.params, name),
            *([_short(before, name)] if previous is not None else []),
            _short(tried.usual, name),
        ]
        for name in names
    ]
    rows += [
        [name, f"{value} (default)", *([""] if previous is not None else []), ""] for name, value in tried.kept.items()
    ]
    table(header, rows)
    for name, allowed in tried.outside.items():
        say(f"{name} is outside the space, {allowed}: no sampler would look there")
    if tried.taken_over_from is not None:
        say(f"not trained again: the same as {tried.taken_over_from}")
    if trial.value is None or tried.best is None:
        say(f"failed: {trial.attributes.get('error', 'no reason is known')}")
        return
    than = [
        f"{_against(tried, other)} than {what}"
        for what, other in (("the last try", previous), ("the reference", reference))
        if other
    ]
    value, best = metric.texts([trial.value, tried.best])
    say(f"{metric.label} {value} ({metric.direction}){': ' if than else ''}{', '.join(than)}")
    best_has = "" if tried.rank == 1 else f"; the best has {best}"
    say(
        f"rank {tried.rank} of the {counted(tried.n_configurations, 'distinct configuration')} evaluated on split "
        f"{tried.run.name.split}{best_has}"
    )
    if tried.gap is not None:
        train = metric.text(trial.train_score)
        say(f"on training rows {train}: a gap of {number_text(tried.gap)} to the validation rows")
    learned = "" if trial.n_model_parameters is None else f"; {trial.n_model_parameters:,} model parameters learned"
    memory = "" if trial.peak_memory_mb != trial.peak_memory_mb else f", {format_size(trial.peak_memory_mb)}"
    seconds = f"fit {format_duration(trial.fit_seconds)}, score {format_duration(trial.score_seconds)}"
    say(f"cost: {seconds}{memory}{learned}")


def show_new(study: "NewStudy", to: str | None) -> None:
    """What the columns of a CSV file were taken for, and how the study that was written is run."""
    target, columns = study.target, study.columns
    name, table = one_line(target.name), study.table
    classes = f", {target.n_classes} classes" if target.n_classes else ""
    say(f"wrote {study.path}: {target.task} of {name}{classes} ({counted(target.n_rows, 'row')})")
    if target.n_missing:
        why = _several([f"{text!r} in {n}" if text else f"empty in {n}" for text, n in table.missing.items()])
        say(f"    dropped: {counted(target.n_missing, 'row')} without a target ({name} is {why})")
    if table.classes:
        found = _several([f"{text!r} ({counted(n, 'row')})" for text, n in table.classes.items()])
        say(f"    taken for a class of {name}: {found}; where it means that {name} is missing, empty the field")
    for kind, names in (("numbers", columns.numeric), ("categories", columns.categorical)):
        if names:
            say(f"    {kind}: {_several(names)}")
    if columns.left_out:
        say(f"    left out: {_several([f'{name} ({reason})' for name, reason in columns.left_out.items()])}")
    if table.amounts.columns:
        say(f"    read as numbers, without their signs and thousands marks: {_several(table.amounts.columns)}")
    for column, why in study.leaks.items():
        say(f"    look twice: {one_line(column)} {why}; drop it if it is not known beforehand")
    for column in columns.keys[:1]:
        say(f"    {one_line(column)} repeats: to keep its rows together, split by groups (the script says how)")
    for column in [*columns.dates][:1]:
        kept = "" if columns.keeps_dates else "; --dates learns from year, month and day of the week"
        say(
            f"    {one_line(column)} has dates: to predict later rows from earlier ones, split by time "
            f"(the script says how){kept}"
        )
    say(f"run it: hpo run {shlex.quote(study.name if to is None else to)}")


def _several(names: Sequence[str]) -> str:
    return ", ".join(map(one_line, names[:_N_NAMES])) + (
        f" and {len(names) - _N_NAMES} more" if len(names) > _N_NAMES else ""
    )


def _against(tried: "Tried", other: Any) -> str:
    """``0.012 better``."""
    if other.value is None or tried.trial.value is None:
        return "better"  # than what failed
    value = tried.trial.value
    if is_better(value, other.value) or is_better(other.value, value):
        return f"{rough_text(abs(value - other.value), 3)} {'better' if value > other.value else 'worse'}"
    return "no better"


def _short(values: Any, name: str) -> str:
    if name not in values:
        return "-"
    return f"{values[name]:.6g}" if isinstance(values[name], float) else str(values[name])
