"""The text of a study script for a table: what is learned from which columns, formatted as ruff would."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from types import MappingProxyType
from typing import Any

from hpo.study.from_csv.amounts import Amounts
from hpo.study.from_csv.columns import CLASSIFICATION, Columns, Target, date_parts

MANY_ROWS = (
    10_000  # from here on boosting on a holdout: a forest would take minutes, and one part of so many rows tells
)

_WIDTH = 88  # what ruff and black take where nobody says otherwise
_MOST_LINES = 4  # of names of numeric columns; when there are more, they are named by what they are not
_MOST_NAMES, _MOST_REASONS = 8, 6  # that a comment lists

_SCRIPT = '''\
"""{summary}

{tuned}

{look_for}
"""

from pathlib import Path

import hpo
import pandas as pd
from hpo import {words}
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import {trees_class}
{impute}from sklearn.linear_model import {linear_class}
from sklearn.pipeline import {pipelines}
from sklearn.preprocessing import {encoders}

CSV = {csv}
TARGET = {target}
{names}


def load_data():
{read}
{amounts}{dates}{drop}    return table[{kinds}], table[TARGET]{astype}


{columns}
linear = {linear_class}({linear_arguments})
{trees} = {trees_class}({trees_arguments})

study = StudyDefinition(
    name="{name}",
    data=load_data,
    estimator=Pipeline([("columns", columns), ("model", linear)]),
    space=SearchSpace(
        {{
            "model": Categorical({{"linear": linear, "{trees}": {trees}}}),
            "model__{shrinkage}": Float(1e-3, 1e3, log=True, when={{"model": "linear"}}),
{space}
        }}
    ),
    reference={{"model": "linear", "model__{shrinkage}": 1.0}},
    metric="{metric}",
    extra_metrics=["{extra}"],
    split={split},
)

if __name__ == "__main__":
    hpo.main(study)
'''

_TUNED = (
    "What is tuned: whether a linear model is enough or {better} better, and how simple each is kept. The columns are "
    "prepared within the model, so that this too is learned from training rows alone."
)
_LOOK_FOR = (
    "What to look for: a score far better on training rows than on validation rows is overfitting; {remedy} narrow "
    "the gap."
)
_AMOUNTS = """\
    for name in AMOUNTS:  # currency and percent signs, marks between thousands
        text = table[name].str.replace(r"{dropped}", "", regex=True)
        table[name] = pd.to_numeric(text{mark})
"""
_DATES = """\
    for name, form in DATES.items():
        dates = pd.to_datetime(table[name], format=form).dt
        for part in PARTS:
            table[f"{name} {part}"] = getattr(dates, part)
"""
_PARTS = (
    'PARTS = ["year", "month", "day_of_week"]  # Monday is 0',
    'NUMERIC += [f"{name} {part}" for name in DATES for part in PARTS]',
)
_MAKERS = {
    "numeric": "numeric = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())",
    "categorical": 'categorical = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=20)',
}
_FOREST = {
    "max_features": "Float(0.1, 1.0, {when})",
    "max_depth": "Int(2, 20, {when})",
    "min_samples_leaf": "Int(1, 50, log=True, {when})",
}
_BOOSTING = {
    "learning_rate": "Float(0.01, 0.5, log=True, {when})",
    "max_iter": "Int(20, 200, log=True, {when})",
    "max_leaf_nodes": "Int(4, 64, log=True, {when})",
    "min_samples_leaf": "Int(5, 200, log=True, {when})",
}


def study_script(
    name: str,
    csv: Path,
    target: Target,
    columns: Columns,
    options: Mapping[str, Any],
    *,
    amounts: Amounts = Amounts(),  # noqa: B008 - it is frozen
    leaks: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The script.

    Args:
        name: of the study.
        csv: the file's path from the script's folder.
        target, columns: what the file's columns are.
        options: of ``pandas.read_csv``.
        amounts: columns that must be freed from signs.
        leaks: name -> what makes a column suspicious.
    """
    has_many, is_classification = target.n_rows > MANY_ROWS, target.task == CLASSIFICATION
    trees, better = ("boosting", "boosted trees are") if has_many else ("forest", "a forest is")
    remedy = "fewer iterations, fewer and larger leaves" if has_many else "larger leaves and shallower trees"
    kinds = [kind for kind in ("numeric", "categorical") if getattr(columns, kind)]
    split = "Holdout" if has_many else "CrossValidation"
    space = {f"model__{key}": text.format(when=f'when={{"model": "{trees}"}}') for key, text in _space(trees).items()}
    suffix = "Classifier" if is_classification else "Regressor"
    rows = "row has" if target.n_missing == 1 else "rows have"
    return _SCRIPT.format(
        summary=_summary(target, csv),
        tuned=_paragraph(_TUNED.format(better=better)),
        look_for=_paragraph(_LOOK_FOR.format(remedy=remedy)),
        impute="from sklearn.impute import SimpleImputer\n" if columns.numeric else "",
        pipelines="Pipeline, make_pipeline" if columns.numeric else "Pipeline",
        encoders=", ".join(["OneHotEncoder"] * bool(columns.categorical) + ["StandardScaler"] * bool(columns.numeric)),
        words=", ".join(sorted([split, "Categorical", "Float", "Int", "SearchSpace", "StudyDefinition"])),
        csv=_path(csv),
        target=_literal(target.name),
        names="\n".join([*_names(columns, options), *_amounts(amounts), *_notes(columns, leaks)]),
        read=_read("    table", options),
        amounts=_freed(amounts),
        dates=_DATES if columns.keeps_dates else "",
        drop=f"    table = table.dropna(subset=[TARGET])  # {target.n_missing} {rows} no target\n"
        if target.n_missing
        else "",
        kinds=" + ".join(map(str.upper, kinds)),
        astype=f".astype({target.dtype})" if target.dtype else "",
        columns=_columns(kinds),
        linear_class="LogisticRegression" if is_classification else "Ridge",
        linear_arguments="max_iter=1000" if is_classification else "",
        trees=trees,
        trees_class=f"{'HistGradientBoosting' if has_many else 'RandomForest'}{suffix}",
        trees_arguments="early_stopping=False" if has_many else "",
        name=name,
        shrinkage="C" if is_classification else "alpha",
        space="\n".join(f'            "{key}": {text},' for key, text in space.items()),
        metric="neg_log_loss" if is_classification else "neg_root_mean_squared_error",
        extra="balanced_accuracy" if is_classification else "r2",
        split=f"{split}(validation=0.2, test=0.2)" if has_many else f"{split}(folds={_folds(target)}, test=0.2)",
    )


def _space(trees: str) -> dict[str, str]:
    return _FOREST if trees == "forest" else _BOOSTING


def _folds(target: Target) -> int:
    """Each fold needs a row of the rarest class, of those that the test leaves."""
    return min(5, int(0.8 * target.n_rarest)) if target.n_classes else 5


def _summary(target: Target, csv: Path) -> str:
    rows = f"{target.n_rows} rows" + (f", {target.n_classes} classes" if target.n_classes else "")
    return f"Tune a model that predicts {_plain(target.name)} in {_plain(csv.name)} ({rows})."


def _paragraph(text: str) -> str:
    return "\n".join(wrap(text, _WIDTH))


def _names(columns: Columns, options: Mapping[str, Any]) -> list[str]:
    """The columns by their kind, and a comment on those that are left out."""
    categorical = _listing("CATEGORICAL", columns.categorical) if columns.categorical else []
    kept = columns.dates if columns.keeps_dates else {}
    parts = {part for name in kept for part in date_parts(name)}
    numeric = _listing("NUMERIC", [n for n in columns.numeric if n not in parts]) if columns.numeric else []
    dates = [*_mapping("DATES", kept), *_PARTS] if kept else []
    if len(numeric) <= _MOST_LINES + 2:
        return [*numeric, *dates, *categorical, *_left_out(columns)]
    others = ["TARGET", *(["*CATEGORICAL"] if categorical else []), *(["*LEFT_OUT"] if columns.left_out else [])]
    others += ["*DATES"] if kept else []
    left_out = [*_left_out(columns), *_listing("LEFT_OUT", [*columns.left_out])] if columns.left_out else []
    same = {
        key: options[key] for key in options if key not in {"na_values", "keep_default_na", "decimal", "low_memory"}
    }
    rest = f"NUMERIC = [*HEADER.columns.drop([{', '.join(others)}])]"
    dates = [*dates[:-1], rest, dates[-1]] if dates else [rest]
    return [*categorical, *left_out, _read("HEADER", {**same, "nrows": 0}), *dates]


def _amounts(amounts: Amounts) -> list[str]:
    return _listing("AMOUNTS", amounts.columns) if amounts.columns else []


def _freed(amounts: Amounts) -> str:
    if not amounts.columns:
        return ""
    mark = "" if amounts.decimal == "." else f'.str.replace("{amounts.decimal}", ".")'
    return _AMOUNTS.format(dropped=amounts.dropped, mark=mark)


def _notes(columns: Columns, leaks: Mapping[str, str]) -> list[str]:
    """Comments on what the reader has to decide."""
    notes = (
        [
            f"Look twice: {_several([f'{_literal(n)} {why}' for n, why in leaks.items()], _MOST_REASONS)}. If it is "
            "not known when the prediction is wanted, drop it."
        ]
        if leaks
        else []
    )
    notes += [
        f"Several rows are about the same {_literal(name)}. To keep them on one side of every split, return "
        f'hpo.Data(X, y, groups=table[{_literal(name)}]) from load_data and give the split order="group".'
        for name in columns.keys[:1]
    ]
    notes += [
        f"Are later rows to be predicted from earlier ones? Then sort the table by {_literal(name)} in load_data and "
        'give the split order="time".'
        for name in [*columns.dates][:1]
    ]
    return [line for note in notes for line in _comment(note)]


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in wrap(text, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)]


def _left_out(columns: Columns) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for name, reason in columns.left_out.items():
        reasons.setdefault(reason, []).append(_literal(name))
    if not reasons:
        return []
    parts = [f"{_several(names, _MOST_NAMES)} ({reason})" for reason, names in reasons.items()]
    text = f"Left out: {_several(parts, _MOST_REASONS)}."
    return _comment(text)


def _several(parts: Sequence[str], most: int) -> str:
    return ", ".join(parts[:most]) + (f" and {len(parts) - most} more" if len(parts) > most else "")


def _columns(kinds: Sequence[str]) -> str:
    pairs = ", ".join(f'("{kind}", {kind}, {kind.upper()})' for kind in kinds)
    parts = [f"parts = [{pairs}]", "columns = ColumnTransformer(parts, sparse_threshold=0)  # dense, whatever it holds"]
    return "\n".join([*(_MAKERS[kind] for kind in kinds), *parts])


# --- pieces of Python ---


def _literal(value: Any) -> str:
    """A value in Python; a text in double quotes, unless that takes more backslashes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if not isinstance(value, str):
        return repr(value)
    quote = "'" if value.count('"') > value.count("'") else '"'
    escaped = (f"\\{c}" if c in (quote, "\\") else c if c.isprintable() else repr(c)[1:-1] for c in value)
    return f"{quote}{''.join(escaped)}{quote}"


def _listing(name: str, values: Sequence[str]) -> list[str]:
    """An assignment; a list too long for a line is filled line by line."""
    line = f"{name} = [{', '.join(map(_literal, values))}]"
    if len(line) <= _WIDTH:
        return [line]
    lines = [""]
    for value in map(_literal, values):
        if lines[-1] and len(lines[-1]) + len(value) + 6 > _WIDTH:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else ''}{value},"
    return [f"{name} = [", *(f"    {line}" for line in lines), "]  # fmt: skip"]


def _mapping(name: str, values: Mapping[str, str]) -> list[str]:
    """An assignment of a dictionary."""
    line = f"{name} = {_literal(dict(values))}"
    if len(line) <= _WIDTH:
        return [line]
    return [f"{name} = {{", *(f"    {_literal(key)}: {_literal(value)}," for key, value in values.items()), "}"]


def _read(name: str, options: Mapping[str, Any]) -> str:
    """A table is read; ``name`` is indented as the statement is to be."""
    arguments = ["CSV", *(f"{key}={_literal(value)}" for key, value in options.items())]
    line = f"{name} = pd.read_csv({', '.join(arguments)})"
    if len(line) <= _WIDTH:
        return line
    indent = name.removesuffix(name.lstrip())
    return "\n".join([f"{name} = pd.read_csv(", *(f"{indent}    {argument}," for argument in arguments), f"{indent})"])


def _path(csv: Path) -> str:
    if csv.is_absolute():
        return f"Path({_literal(str(csv))})"
    n_up = csv.parts.count("..")
    return f"Path(__file__).parent{'.parent' * n_up} / {_literal('/'.join(csv.parts[n_up:]))}"


def _plain(text: str) -> str:
    """A name as a docstring can hold it."""
    kept = "".join(" " if not c.isprintable() else "'" if c in '\\"' else c for c in text)
    return kept if len(kept) <= 28 else f"{kept[:25]}..."
