"""A model card in Markdown: scores, diagnosis, hyperparameters, model parameters, data, how to load it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo.units import Metric, counted

if TYPE_CHECKING:
    import pandas as pd

_MOST_ROWS = 30  # of model parameters
_MOST_NAMES = 60
_LONGEST = 80  # characters of a value


@dataclass(frozen=True)
class Card:
    """What a model card is made from.

    Attributes:
        manifest: what the manifest says, but for the files.
        metric: how scores are shown.
        usual: name -> value of each hyperparameter in the reference, where known.
        parameters: columns as in :func:`hpo.model_parameters`; empty where nothing is known.
        about_test: what became of the sealed test rows, in a sentence.
        n_opened: how many configurations of the study were ever scored on them.
    """

    manifest: Mapping[str, Any]
    metric: Metric
    usual: Mapping[str, Any]
    parameters: "pd.DataFrame"
    about_test: str
    n_opened: int


def model_card(card: Card) -> str:
    """The model card: a title and one section after another."""
    manifest = card.manifest
    lines = [
        f"# {_text(manifest['study'])}: {_text(manifest['estimator'])}",
        "",
        f"Trial {manifest['trial']} of the run `{manifest['run']}`, trained anew on training and validation rows "
        f"({manifest['data']['n_trained']}) and exported on {manifest['created'][:10]}.",
    ]
    for title, section in SECTIONS.items():
        body = section(card)
        if body:
            lines += ["", f"## {title}", "", *body]
    return "\n".join(lines) + "\n"


def _scores(card: Card) -> list[str]:
    scores, metric = card.manifest["scores"], card.metric
    reference = scores["reference"]
    rows = [
        ["validation rows, mean over folds", *metric.texts([scores["validation"], reference["validation"]])],
        ["training rows, mean over folds", *metric.texts([scores["training"], reference["training"]])],
        ["sealed test rows, this model", *_held_out(metric, scores, reference)],
    ]
    folds = ", ".join(metric.texts(scores["folds"]))
    return [
        f"Metric: {_text(metric.label)} ({metric.direction}).",
        "",
        *_table(["scored on", "this configuration", "reference"], rows),
        "",
        f"Validation folds: {folds}. The configuration was chosen by them, so they flatter it.",
        card.about_test,
        *(["± is the 95% interval for other test rows."] if scores.get("test_error") is not None else []),
        *([said] if (said := card.manifest["test"]["reading"]) else []),
    ]


def _held_out(metric: Metric, *both: Mapping[str, Any]) -> list[str]:
    tests = [scores["test"] for scores in both]
    return [metric.text(scores["test"], scores.get("test_error"), beside=tests) for scores in both]


def _hyperparameters(card: Card) -> list[str]:
    chosen = card.manifest["hyperparameters"]
    rows = [
        [name, _short(value), _short(card.usual[name]) if name in card.usual else ""] for name, value in chosen.items()
    ]
    if not rows:
        return ["None was set: it is the reference itself."]
    sampler = card.manifest["sampler"]
    by = {"manual": "by hand", "reference": "as usual"}.get(sampler, f"by the sampler {_text(sampler)}")
    return [f"Set before training, {by}.", "", *_table(["name", "value", "reference"], rows)]


def _model_parameters(card: Card) -> list[str]:
    if card.parameters.empty:
        return []
    rows = [
        [f"{row.path}.{row.name}".strip("."), row.meaning, " x ".join(map(str, row.shape)), f"{row.count:,}"]
        for row in card.parameters.head(_MOST_ROWS).itertuples()
    ]
    rest = card.parameters.iloc[_MOST_ROWS:]
    more = ["", f"And {counted(len(rest), 'row')} more ({rest['count'].sum():,})."] if len(rest) else []
    return [
        f"Learned in training from the rows: {card.parameters['count'].sum():,} in all.",
        "",
        *_table(["name", "meaning", "shape", "count"], rows, n_right=1),
        *more,
    ]


def _data(card: Card) -> list[str]:
    data = card.manifest["data"]
    lines = [
        f"- {counted(data['n_rows'], 'row')}: {data['n_trained']} to train and validate on, "
        f"{data['n_test'] or 'none'} sealed as a test.",
        f"- Split {card.manifest['split']} of `{data['split']}`.",
        f"- Input: {counted(data['n_features'], 'feature')}{_listed(data['features'])}.",
    ]
    if data["classes"]:
        lines.append(f"- Target: {len(data['classes'])} classes{_listed(data['classes'])}.")
    elif data["target"]:
        lines.append(f"- Target: {_text(data['target'])}.")
    return [*lines, f"- Hash of the data: `{card.manifest['hashes']['data'][:16]}`."]


def _loading(card: Card) -> list[str]:
    manifest = card.manifest
    more = ", allow_pickle=True" if manifest["format"] == "joblib" else ""
    more += f", trusted={manifest['types']!r}" if manifest["types"] else ""
    versions = ", ".join(f"{name} {number}" for name, number in manifest["versions"].items())
    is_safe = manifest["format"] == "skops"
    return [
        "```python",
        "import hpo",
        "",
        f'model = hpo.load_model("FOLDER", digest="WHAT hpo export PRINTED"{more})',
        "```",
        "",
        "The file is not a pickle: loading it runs no code that came with it."
        if is_safe
        else "The file is a pickle: loading it can run any code. Load it only if you trust where it comes from.",
        "",
        f"Made with {versions}; on {_text(manifest['environment']['platform'])}.",
    ]


# Title -> what it says; a section that says nothing is left out. A further one needs a line here.
def _diagnosis(card: Card) -> list[str]:
    said = card.manifest["diagnosis"]
    return [] if said is None else [f"Of training and validation rows, before the test: {_text(said)}."]


SECTIONS: dict[str, Callable[[Card], list[str]]] = {
    "Scores": _scores,
    "Diagnosis": _diagnosis,
    "Hyperparameters": _hyperparameters,
    "Model parameters": _model_parameters,
    "Data": _data,
    "Loading": _loading,
}


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, n_right: int = 0) -> list[str]:
    rules = ["---"] * (len(header) - n_right) + ["---:"] * n_right
    return [
        f"| {' | '.join(map(_text, row))} |" if row is not rules else f"|{'|'.join(rules)}|"
        for row in (header, rules, *rows)
    ]


def _listed(names: Sequence[str] | None) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _MOST_NAMES} more, in the manifest" if len(names) > _MOST_NAMES else ""
    return f" ({', '.join(_text(name) for name in names[:_MOST_NAMES])}{more})"


def _short(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _text(value: Any) -> str:
    """A text that Markdown and HTML take as it is."""
    text = " ".join(str(value).split())
    for sign, instead in {"&": "&amp;", "<": "&lt;", "|": "\\|", "*": "\\*", "`": "'"}.items():
        text = text.replace(sign, instead)
    return text
