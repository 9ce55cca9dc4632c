"""What the command line prints: tables and sentences for people, JSON and files for programs."""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpo.cli.streams import between_words
from hpo.database.safe_csv import safe_cell
from hpo.errors import InvalidOption
from hpo.units import NOTHING, Metric, counted, digits_apart, format_duration, rough_text

if TYPE_CHECKING:  # each command imports what it runs; what it prints must not cost it more
    import pandas as pd

    from hpo.cli.learned import Learned
    from hpo.comparison.across import AcrossStudies
    from hpo.comparison.result import Comparison
    from hpo.database.trial import Trial
    from hpo.runs.run import Run

# Columns of a comparison's table, those first that a narrow terminal can best do without.
_DISPENSABLE = ("memory", "trials", "sampler time", "failed", "95%", "fit time", "reaches target", "random needs")
_FEWEST_COLUMNS = 2  # of a table in a narrow terminal: what they are too narrow for is folded
_N_BEST = 5  # trials that hpo show lists
_N_LEARNED = 12  # rows of model parameters
_LONGEST_EQUATION = 1500
_HYPERPARAMETERS = "hyperparameters are set before training; the sampler searches them"
_MODEL_PARAMETERS = "model parameters are learned in training, from the rows; nobody searches them"


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # the command knows what to do; rich would end it as a failure


# Where no terminal says how wide it is, a table must not be folded: somebody will search it.
console = _Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def say(text: str) -> None:
    """Print a line; where a person reads it, it is broken between words."""
    console.print(Text(between_words(text, console.width) if console.is_terminal else text), soft_wrap=True)


def say_as_it_is(text: str) -> None:
    """Print lines that are broken only by the terminal, as those of a program or an equation."""
    console.print(Text(text), soft_wrap=True)


def table(header: list[str], rows: list[list[str]], *, n_left: int = 1, spare: Sequence[str] = ()) -> None:
    """Print a table whose first ``n_left`` columns are text and the others numbers.

    A terminal that is too narrow for all columns lacks some, so that no name is broken: first those in ``spare``, then
    from the right. Columns without content are never shown.
    """
    shown = _fitting(header, rows, spare)
    n_left = sum(i < n_left for i in shown)
    header, rows = [header[i] for i in shown], [[row[i] for i in shown] for row in rows]
    plain = None if console.is_terminal or console.is_jupyter else plain_table(header, rows, n_left, console.width)
    if plain is not None:
        console.out(plain, highlight=False)
        return
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(header):
        drawn.add_column(Text(name), justify="left" if i < n_left else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*map(Text, row))
    console.print(drawn)


def plain_table(header: list[str], rows: list[list[str]], n_left: int, width: int) -> str | None:
    """The lines that rich draws of a table without colours, in a tenth of the time; None where it would fold a cell."""
    cells = [header, *rows]
    if any(cell != cell.strip() or not (cell.isprintable() or cell == "") for row in cells for cell in row):
        return None
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    if not widths or sum(widths) + 3 * len(widths) > width:
        return None

    def drawn(row: list[str]) -> str:
        gaps = [" " * (most - cell_len(cell)) for cell, most in zip(row, widths, strict=True)]
        sides = [cell + gap if i < n_left else gap + cell for i, (cell, gap) in enumerate(zip(row, gaps, strict=True))]
        return f" {'   '.join(sides)} "

    empty = drawn([""] * len(widths))
    return "\n".join([empty, drawn(header), f" {'─' * (len(empty) - 2)} ", *map(drawn, rows), empty])


def _fitting(header: list[str], rows: list[list[str]], spare: Sequence[str]) -> list[int]:
    """The numbers of the columns that have content, and that the terminal has room for."""
    shown = [i for i in range(len(header)) if not rows or i == 0 or any(row[i] not in NOTHING for row in rows)]
    if not console.is_terminal:
        return shown
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    order = [i for name in spare for i in shown if header[i] == name]
    order += [i for i in reversed(shown) if i not in order]
    while len(shown) > _FEWEST_COLUMNS and sum(widths[i] + 3 for i in shown) > console.width:
        shown.remove(next(i for i in order if i in shown and i > 0))
    return shown


def write_frame(frame: "pd.DataFrame", path: str) -> None:
    """Write a frame as CSV, Parquet or JSON, by the file's ending."""
    writers: dict[str, Callable[[], Any]] = {
        ".csv": lambda: _of_safe_cells(frame).to_csv(path, index=False),
        ".parquet": lambda: _of_one_type(frame).to_parquet(path, index=False),
        ".json": lambda: Path(path).write_text(to_json(frame), encoding="utf-8"),
    }
    suffix = Path(path).suffix.lower()
    if suffix not in writers:
        raise InvalidOption(f"--output {path!r}: the ending decides the format; allowed are {', '.join(writers)}")
    try:
        writers[suffix]()
    except ImportError as error:  # pyarrow takes more than the rest of pandas, and only Parquet needs it
        raise InvalidOption(
            f"--output {path!r}: Parquet needs pyarrow: pip install 'hpo-studies[parquet]', or give .csv or .json"
        ) from error
    except OSError as error:
        raise InvalidOption(f"--output {path!r} cannot be written: {error.strerror or error}") from error
    say(f"wrote {counted(len(frame), 'row')} to {path}")


def as_shown(frame: "pd.DataFrame", metric: Metric) -> "pd.DataFrame":
    """Trials of a run with errors positive, as people read them; a further metric ``neg_x`` becomes ``x``."""
    signs = {name: metric.sign for name in ("value", "train_score") if name in frame}
    signs |= {name: -1 for name in frame if str(name).startswith("neg_")}
    shown = frame.assign(**{str(name): frame[name] * sign + 0.0 for name, sign in signs.items()})
    if metric.sign == -1 and "train_fold_scores" in shown:
        shown["train_fold_scores"] = shown["train_fold_scores"].map(_negated, na_action="ignore")
    taken = set(map(str, frame))
    names = {name: str(name).removeprefix("neg_") for name in signs}
    return shown.rename(columns={name: bare for name, bare in names.items() if bare not in taken})


def _negated(scores: str) -> str:
    return json.dumps([0.0 - score for score in json.loads(scores)])


def runs_as_shown(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Runs with errors positive, as people read them; ``direction`` says whether lower is better."""
    signs = frame["metric_sign"].astype(float).fillna(1.0)
    metrics = frame["metric"].map(lambda name: str(name).removeprefix("neg_"), na_action="ignore")
    return frame.assign(best=frame["best"] * signs + 0.0, metric=metrics).drop(columns="metric_sign")


def _of_safe_cells(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The frame without texts that a spreadsheet would run."""
    texts = [name for name in frame if not hasattr(frame[name].dtype, "kind") or frame[name].dtype.kind not in "iufbM"]
    made_safe = frame.assign(**{str(name): frame[name].map(safe_cell, na_action="ignore") for name in texts})
    return made_safe.rename(columns=safe_cell)


def _of_one_type(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The frame with text in columns whose values have several types, as choices may: Parquet has no such columns."""
    mixed = [name for name in frame if frame[name].dtype == object and frame[name].dropna().map(type).nunique() > 1]
    return frame.assign(**{name: frame[name].map(str, na_action="ignore") for name in mixed})


def to_json(value: Any) -> str:
    """A frame as records, or plain values; what is missing or not finite becomes null."""
    if hasattr(value, "to_dict"):  # a frame
        value = value.astype(object).where(value.notna(), None).to_dict("records")
    return json.dumps(_finite(value), indent=2, default=lambda other: getattr(other, "isoformat", other.__str__)())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- what each command shows ---


_ENDINGS = {
    "target": "target reached",
    "patience": "patience ended",
    "walltime": "walltime spent",
    "terminator": "what is left to gain is within the noise of the folds",
    "exhausted": "nothing left to try",
}


def show_outcome(run: "Run") -> None:
    """The summary after ``hpo run``."""
    outcome = run.outcome
    assert outcome is not None  # the run was just made
    states = {state.name: count for state, count in run.counts.items()}
    n_trials, n_failed, n_pruned = sum(states.values()), states.get("FAIL", 0), states.get("PRUNED", 0)
    what = [counted(n_trials, "trial")]
    what += [f"{n_failed} failed"] if n_failed else []
    what += [f"{n_pruned} pruned"] if n_pruned else []
    what += [f"{outcome.n_new} new"] if outcome.n_new != n_trials else []
    what += [f"{outcome.n_reused} reused without training"] if outcome.n_reused else []
    what += [_ENDINGS[outcome.reason]] if outcome.reason in _ENDINGS else []
    say(f"{run.name}: {', '.join(what)}, {format_duration(outcome.seconds)}")
    if n_failed:
        _show_failures(run)
    show_best(run)
    if outcome.warnings:
        show_warnings("warnings of fits and scorers", outcome.warnings)
    say(f"database: {run.database.name}")


def _show_failures(run: "Run") -> None:
    """The most frequent error, and how to see where it was raised."""
    from hpo.runs.origin import pasted

    failed = run.trials.query("state == 'FAIL'")
    error, count = failed["error"].value_counts().index[0], int(failed["error"].value_counts().iloc[0])
    number = failed.loc[failed["error"] == error, "number"].iloc[0]
    among = "" if count == len(failed) else f"{count} of them: "
    say(f"{among or 'failed with: '}{error}")
    say(f"to see where: {pasted(['hpo', 'show', str(run.name), '--trial', str(number)], run.database)}")


def show_warnings(head: str, counts: Mapping[str, int]) -> None:
    """Each warning once, quoted, with how often it was raised; the most frequent first."""
    say(f"{head}:")
    for text, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_WARNINGS]:
        say(f"    {count} x {text}")
    if len(counts) > _MOST_WARNINGS:
        say(f"    and {counted(len(counts) - _MOST_WARNINGS, 'other warning')}")


def show_best(run: "Run", learned: "Learned | str | None" = None) -> None:
    """The best trial beside the reference; what it learned, or why that is not known, where either is given."""
    metric, best, reference = run.metric, run.best, run.reference
    value, usual, train = metric.texts([best.value, reference.value if reference else None, best.train_score])
    said = f"best {metric.label} {value} ({metric.direction}) in trial {best.number}"
    said += f"; reference {usual}" if reference else ""
    say(f"{said}; on training rows {train}")
    show_sides(best.params, learned)


def show_sides(params: Mapping[str, Any], learned: "Learned | str | None") -> None:
    """Hyperparameters, and beside them what was learned with them, or why that is not known."""
    left = [[name, _value(value)] for name, value in params.items()]
    if learned is None or isinstance(learned, str):
        table(["hyperparameter", "value"], left)
        if learned:
            say(learned)
        return
    parameters = learned.parameters
    right = [
        [
            f"{row.path}.{row.name}".removeprefix("."), str(row.meaning), " x ".join(map(str, row.shape)),
            f"{row.count:,}", _span(row.minimum, row.maximum),
        ]
        for row in parameters.head(_N_LEARNED).itertuples()
    ]  # fmt: skip
    rows = [[*one, *other] for one, other in zip_longest(left, right, fillvalue=[""] * 2)]
    rows = [row + [""] * (7 - len(row)) for row in rows]
    table(["hyperparameter", "value", "model parameter", "meaning", "shape", "count", "range"], rows, n_left=4)
    if len(parameters) > len(right):
        rest = parameters.iloc[len(right) :]
        say(f"and {counted(len(rest), 'row')} of model parameters more ({rest['count'].sum():,}): hpo.model_parameters")
    if learned.equation is not None and len(learned.equation) < _LONGEST_EQUATION:
        say(learned.equation)
    say(_HYPERPARAMETERS)
    say(
        f"{_MODEL_PARAMETERS}: {parameters['count'].sum():,} here, trained once more on training and validation rows "
        f"in {format_duration(learned.seconds)}"
    )


def show_run(run: "Run", trial: "Trial | None", learned: "Learned | str | None" = None) -> None:
    """``hpo show``: the run, its best trials, or one trial in full, and what that learned, or why it is not known."""
    if trial is not None:
        show_trial(run.metric, trial, learned)
        return
    metric, counts, seconds = run.metric, run.counts, run.seconds
    n_trials = sum(counts.values())
    states = ", ".join(
        f"{count} {_STATES.get(state.name, state.name)}"
        for state, count in sorted(counts.items(), key=lambda item: (-item[1], item[0].name))
    )
    say(f"{run.name}: {n_trials} of {run.attributes['budget']} trials{f', {states}' if states else ''}")
    parts = {name: rough_text(seconds[f"{name}_seconds"], 3) for name in ("fit", "score", "sampler")}
    say(f"seconds: {', '.join(f'{name} {text}' for name, text in parts.items())}")
    if run.has_success:
        show_best(run, learned)
    if not n_trials:
        return
    shown = run.best_trials(_N_BEST)
    names = sorted({name for one in shown for name in one.params})
    values, trained = ([getattr(one, name) for one in shown] for name in ("value", "train_score"))
    scores = zip(metric.texts(values), metric.texts(trained), strict=True)
    rows = [
        [
            str(one.number), value, train, rough_text(one.fit_seconds, 3), _whole(one.n_model_parameters),
            *(_value(one.params[name]) if name in one.params else "" for name in names),
        ]
        for one, (value, train) in zip(shown, scores, strict=True)
    ]  # fmt: skip
    header = ["trial", metric.label, "on training rows", "fit seconds", "model parameters"]
    table([*header, *names], rows, n_left=0)


def show_trial(metric: Metric, trial: "Trial", learned: "Learned | str | None" = None) -> None:
    """One trial with everything that is stored with it, and what it learned, or why that is not known."""
    say(f"trial {trial.number}: {trial.state}, {metric.label} {metric.text(trial.value)} ({metric.direction})")
    if trial.fold_scores:
        say(f"folds: {', '.join(metric.texts(trial.fold_scores))}")
    show_sides(trial.params, learned)
    rows = []
    for name, value in sorted(trial.attributes.items()):
        if name == "train_score":
            rows.append([name, metric.text(value)])
        elif name == "train_fold_scores":
            rows.append([name, ", ".join(metric.texts(trial.train_fold_scores))])
        elif name.startswith("neg_"):
            rows.append([Metric(name, -1).label, Metric(name, -1).text(value)])
        elif name not in {"traceback", "warnings"}:
            rows.append([name, _value(value)])
    table(["recorded", "value"], rows)
    if trial.warnings:
        show_warnings("warnings", trial.warnings)
    if "traceback" in trial.attributes:
        say_as_it_is(trial.attributes["traceback"])


_STATES = {"COMPLETE": "complete", "FAIL": "failed", "PRUNED": "pruned"}
_MOST_WARNINGS = 8  # that are shown
_FOREIGN = {"minimize": "lower is better", "maximize": "higher is better", None: "several", "not_set": "-"}


def show_runs(runs: list[dict[str, Any]]) -> None:
    """``hpo list``."""
    rows = []
    beside: dict[tuple[Any, ...], list[float]] = {}
    for row in runs:
        beside.setdefault(_compared(row), []).append(row["best"])
    for row in runs:
        failed = f" ({row['failed']} failed)" if row["failed"] else ""
        is_ours = isinstance(row["metric"], str)
        metric = Metric(row["metric"], int(row["metric_sign"])) if is_ours else Metric("value", 1)
        seconds = [row["fit_seconds"], row["score_seconds"], row["sampler_seconds"]]
        budget = row["budget"] if is_ours else "?"
        best = metric.text(row["best"], beside=beside[_compared(row)])
        rows.append(
            [
                row["run"], row["state"] if is_ours else "foreign",
                f"{row['complete'] + row['failed'] + row['pruned']}/{budget}{failed}",
                best, metric.label if is_ours else _FOREIGN[row["direction"]],
                "-" if None in seconds else f"{sum(seconds):.1f}",
            ]
        )  # fmt: skip
    table(["run", "state", "trials", "best", "metric", "seconds"], rows, n_left=2, spare=("seconds", "metric", "state"))
    if rows:
        say("best values are comparable within one split")


def _compared(row: dict[str, Any]) -> tuple[Any, ...]:
    """What runs have in common whose best values can be compared."""
    return row["study"], row["version"], row["split"]


def show_comparison(comparison: "Comparison") -> None:
    """``hpo compare``: what it says, the table, the picture, warnings."""
    metric = comparison.metric
    for sentence in comparison.sentences():
        say(sentence)
    say(f"\n{comparison.study}: {metric.label}, {metric.direction}")
    table(*comparison.rows(), spare=_DISPENSABLE)
    say("median of the best value so far, by trial:")
    console.print(Text.from_ansi(comparison.picture(width=min(console.width, 110), color=console.is_terminal)))
    for warning in comparison.warnings():
        say(f"warning: {warning}")
    say(f"to tune with it: {comparison.command}")


def show_across(together: "AcrossStudies") -> None:
    """``hpo compare`` with several studies: what they say together."""
    for sentence in together.sentences():
        say(sentence)


def show_samplers() -> None:
    """``hpo samplers``."""
    from hpo.samplers.pruners import PRUNERS
    from hpo.samplers.table import SAMPLERS, added_samplers

    for name, kind in SAMPLERS.items():
        conditions = "conditional spaces too" if kind.supports_conditions else "no conditional spaces"
        facts = [f"searches {kind.searches}, {conditions}"]
        facts += [f"worth it from {kind.fewest_trials} trials"] if kind.fewest_trials > 1 else []
        facts += [f"needs pip install 'hpo-studies[{kind.extra}]'"] if kind.extra else []
        facts += [f"options {', '.join(kind.options)}"] if kind.options else []
        say(f"{name}: {kind.summary}")
        say(f"    {'; '.join(facts)}")
    for point in added_samplers().values():
        say(f"{point.name}: added by {point.value}")
    say("Continuous ranges are searched as they are, but by grid, which takes their levels.")
    say("With options: --sampler 'tpe(n_startup_trials=20)'")
    say("\nPruners end hopeless trials early. With a sampler: --sampler tpe+racing")
    for name, pruner in PRUNERS.items():
        say(f"{name}: {pruner.summary}")
        say(f"    options {', '.join(pruner.options)}")


def show_studies() -> None:
    """``hpo studies``."""
    from hpo.study.catalogue import study_files, summary

    rows = [[name, summary(path), str(path)] for name, path in study_files().items()]
    table(["study", "what", "script"], rows, n_left=3)


def _span(low: float, high: float) -> str:
    if math.isnan(low):
        return ""
    if not low < high:
        return rough_text(low, 3)
    digits = digits_apart([low, high], 3)
    return f"{rough_text(low, digits)} to {rough_text(high, digits)}"


def _whole(number: float | None) -> str:
    return "-" if number is None or math.isnan(number) else f"{number:,.0f}"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)
