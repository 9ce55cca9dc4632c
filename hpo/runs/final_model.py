"""The final model: a trial's configuration trained on train and validation rows, its test score, and its folder."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.database.run_name import RunName
from hpo.database.trial import Trial
from hpo.errors import InvalidOption
from hpo.evaluation.evaluate import Problem, take_rows
from hpo.evaluation.row_scores import FloatArray, error_of_score, unpacked
from hpo.models.card import Card, model_card
from hpo.models.folder import CARD, check_target, write_folder
from hpo.models.parameters import model_parameters
from hpo.models.serialization import FORMATS, pack
from hpo.runs.sealed_rows import score_model_on_test, score_reference_on_test
from hpo.runs.session import StudySession
from hpo.study.definition import Data, versions
from hpo.units import Metric, counted, rough_text

if TYPE_CHECKING:
    import pandas as pd


_SAMPLE = 200  # rows for which the file must predict what the model does


@dataclass(frozen=True)
class Exported:
    """A model that was written.

    Attributes:
        path: its folder.
        file: of the model; ``n_bytes`` long.
        digest: of the manifest, for :func:`hpo.load_model`.
        run, trial: what was trained.
        metric: how its scores are shown.
        value, reference: mean validation score, and that of the reference (None where unknown); the scorer's sign.
        test: score on the sealed test rows; None where there is none.
        test_error: how far that may be off for other rows, 95%; None where it is not known row by row.
        reference_test, reference_test_error: likewise of the reference.
        reading: the test score against the validation score and against the reference, in words; "" where unknown.
        about_test: what became of the sealed test rows, in a sentence.
        n_opened: how many configurations of the study were ever scored on them.
        types: that :func:`hpo.load_model` must be told to trust.
        fit_seconds: what training took.
        warnings: category -> how often it was raised in training.
    """

    path: Path
    file: str
    n_bytes: int
    digest: str
    run: str
    trial: int
    metric: Metric
    value: float
    reference: float | None
    test: float | None
    test_error: float | None
    reference_test: float | None
    reference_test_error: float | None
    reading: str
    about_test: str
    n_opened: int
    types: tuple[str, ...]
    fit_seconds: float
    warnings: dict[str, int]


@dataclass(frozen=True)
class FinalModel:
    """A trial's configuration trained on train and validation rows, before it is written.

    Attributes:
        run: the name of the trial's run.
        metric: how its scores are shown.
        stored: the run's attributes.
        trial: what was trained.
        reference: the run's reference; None where it was not evaluated.
        fitted: the estimator.
        seconds: what training took.
        warnings: category -> how often it was raised in training.
        diagnosis: of the trial, in a sentence; None where there is none.
    """

    run: RunName
    metric: Metric
    stored: Mapping[str, Any]
    trial: Trial
    reference: Trial | None
    fitted: Any
    seconds: float
    warnings: dict[str, int]
    diagnosis: str | None


def check_export(path: "str | os.PathLike[str]", file_format: str, *, force: bool) -> Path:
    """Return the folder to make; raise InvalidOption where it or the format cannot be, before anything is trained."""
    if file_format not in FORMATS:
        raise InvalidOption(f"format={file_format!r}: allowed are {', '.join(FORMATS)}")
    return check_target(path, force=force)


def export_model(
    model: FinalModel, session: StudySession, target: Path, *, file_format: str, open_test: bool
) -> Exported:
    """Score a model on the sealed test rows, and write it.

    The seal is opened last, when nothing but the disk can fail any more; arguments as for :meth:`hpo.Run.export`.

    Raises:
        UnstorableModel: the format cannot hold the model.
    """
    trial, reference, fitted = model.trial, model.reference, model.fitted
    problem = session.problem(model.run.split)
    rows = problem.partition.development
    packed = pack(fitted, file_format, take_rows(problem.data.X, rows[:_SAMPLE]))
    key = str(trial.attributes["configuration"])
    tested = _test(session, model.run, key, fitted, reference, open_test=open_test)
    reading = _reading(model.metric, trial, tested)
    about = _about(model, problem)
    manifest = {
        **about,
        "scores": {
            **about["scores"],
            "test": tested.score,
            "test_error": tested.error,
            "reference": {
                "validation": None if reference is None else reference.value,
                "training": None if reference is None else reference.train_score,
                "test": tested.reference,
                "test_error": tested.reference_error,
            },
        },
        "test": {"said": tested.about, "configurations_scored": tested.n_opened, "reading": reading},
        "diagnosis": model.diagnosis,
        "hashes": dict(session.hashes),
        "format": file_format,
        "types": list(packed.types),
        "versions": {**{k: v for k, v in versions().items() if k != "optuna"}, file_format: version(file_format)},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    card = Card(
        manifest,
        model.metric,
        problem.definition.usual(),
        _parameters(fitted, about["data"]),
        tested.about,
        tested.n_opened,
    )
    files = {packed.file: packed.content, CARD: model_card(card).encode()}
    digest = write_folder(target, files, manifest)
    assert trial.value is not None  # it is complete
    return Exported(
        path=target,
        file=packed.file,
        n_bytes=len(packed.content),
        digest=digest,
        run=str(model.run),
        trial=trial.number,
        metric=model.metric,
        value=trial.value,
        reference=manifest["scores"]["reference"]["validation"],
        test=tested.score,
        test_error=tested.error,
        reference_test=tested.reference,
        reference_test_error=tested.reference_error,
        reading=reading,
        about_test=tested.about,
        n_opened=tested.n_opened,
        types=packed.types,
        fit_seconds=model.seconds,
        warnings=model.warnings,
    )


def _about(model: FinalModel, problem: Problem) -> dict[str, Any]:
    """The part of the manifest that the run and its data decide."""
    run, trial, stored = model.run, model.trial, model.stored
    return {
        "study": run.study,
        "run": str(run),
        "trial": trial.number,
        "sampler": run.sampler,
        "configuration": str(trial.attributes["configuration"]),
        "split": run.split,
        "estimator": _kind(model.fitted),
        "hyperparameters": {name: _plain(value) for name, value in trial.params.items()},
        "metric": {"name": model.metric.key, "higher_is_better": True, "shown_sign": model.metric.sign},
        "scores": {"validation": trial.value, "training": trial.train_score, "folds": list(trial.fold_scores)},
        "data": _data(problem, model.fitted),
        "run_versions": {k.removeprefix("version_"): v for k, v in stored.items() if k.startswith("version_")},
        "environment": {
            "platform": platform.platform(),
            "machine": platform.machine(),
            "threads": stored.get("threads"),
        },
    }


@dataclass(frozen=True)
class _Tested:
    """What the sealed test rows said of a model and of the reference; None where they were not asked.

    Attributes:
        about, n_opened: see :class:`Exported`.
        rows, reference_rows: the scores row by row.
    """

    about: str
    n_opened: int
    rows: FloatArray | None = None
    reference_rows: FloatArray | None = None
    score: float | None = None
    reference: float | None = None

    @property
    def error(self) -> float | None:
        return error_of_score(self.rows)

    @property
    def reference_error(self) -> float | None:
        return error_of_score(self.reference_rows)


def _test(
    session: StudySession, name: RunName, key: str, fitted: Any, reference: Trial | None, *, open_test: bool
) -> _Tested:
    """Ask the sealed test rows about a model, and about the reference beside it."""
    if not session.has_test:
        return _Tested("The study seals no test rows (test=0): nothing here was scored on rows that had no say.", 0)
    rows = counted(session.n_test, "sealed test row")
    scores = _scores(session, name.split)
    is_new = key not in scores.index and open_test
    is_first = is_new and session.database.test_scores(session.definition.name).empty
    usual = None if reference is None else str(reference.attributes["configuration"])
    if is_new:
        score_model_on_test(session, name.split, key, fitted)
        if usual not in {None, key, *scores.index}:  # a score says little without another beside it
            assert usual is not None
            score_reference_on_test(session, name.split, usual)
        scores = _scores(session, name.split)
    n_opened = len(session.database.test_scores(session.definition.name))
    among = ", the reference among them" if usual in scores.index and n_opened > 1 else ""
    count = f"The sealed test rows of this study have been scored for {counted(n_opened, 'configuration')}{among}."
    other = scores.loc[usual] if usual in scores.index else None
    value, by_row = (None, None) if other is None else (_number(other["value"]), _by_row(other))
    if key not in scores.index:
        return _Tested(f"The {rows} stayed sealed. {count}", n_opened, reference=value, reference_rows=by_row)
    found = scores.loc[key]
    when = "were opened for this model" if is_new else f"had scored this configuration on {found['opened']:%Y-%m-%d}"
    again = "" if is_new else ", and were not opened anew"
    failed = "" if found["error"] is None else f"; that failed ({found['error']})"
    about = f"The {rows} {when}{again}{failed}. {count}"
    if is_first and not failed:
        held_out = rows.replace("sealed", "held-out")
        about = f"This is the first time the {held_out} were used ({counted(n_opened, 'configuration')} scored{among})."
    return _Tested(about, n_opened, _by_row(found), by_row, _number(found["value"]), value)


def _scores(session: StudySession, split: int) -> "pd.DataFrame":
    """What the sealed test rows said of the configurations of a split, by key."""
    scores = session.database.test_scores(session.definition.name)
    return (
        scores[scores["context"] == session.context(split)].drop_duplicates("configuration").set_index("configuration")
    )


def _by_row(found: "pd.Series") -> FloatArray | None:
    return unpacked(found["row_values"])


def _reading(metric: Metric, trial: Trial, tested: _Tested) -> str:
    """Whether the test says something else than validation did, and something of the reference."""
    said = []
    if tested.score is not None and tested.error is not None and trial.value is not None:
        is_within = abs(trial.value - tested.score) <= tested.error
        drop = "that may be the luck of these rows" if is_within else "more than the luck of these rows explains"
        much = f"{rough_text(abs(trial.value - tested.score))} {'better' if tested.score > trial.value else 'worse'}"
        if tested.score == trial.value:
            said.append("The test score is the same as the score on validation rows.")
        else:
            said.append(f"The test score is {much} than the score on validation rows: {drop}.")
    a, b = tested.rows, tested.reference_rows
    if tested.score is not None and tested.reference is not None and a is not None and b is not None:
        error = error_of_score(a - b) if len(a) == len(b) else None
        gain = tested.score - tested.reference
        if error is not None and error > 0:
            is_clear, side = abs(gain) > error, "better" if gain >= 0 else "worse"
            said.append(
                f"On the same rows it is {rough_text(abs(gain))} ± {rough_text(error)} {side} than the "
                f"reference{'' if is_clear else ': too few test rows to tell them apart'}."
            )
    return " ".join(said)


def _data(problem: Problem, fitted: Any) -> dict[str, Any]:
    """What the model was trained on: rows, features by name, and the target's classes or range."""
    from sklearn.utils.validation import _num_features, _num_samples

    data, definition = problem.data, problem.definition
    try:
        n_features = int(_num_features(data.X))
    except TypeError:  # a list of texts
        n_features = 1
    classes = [str(_plain(label)) for label in getattr(fitted, "classes_", [])]
    return {
        "n_rows": int(_num_samples(data.X)),
        "n_trained": len(problem.partition.development),
        "n_test": len(problem.partition.test),
        "split": repr(definition.split),
        "n_features": n_features,
        "features": _feature_names(data, n_features),
        "classes": _class_names(data, classes) if data.y is not None else [],
        "target": _target(data),
    }


def _feature_names(data: Data, n_features: int) -> list[str] | None:
    names = getattr(data.X, "columns", data.feature_names)
    return None if names is None or len(names) != n_features else [str(name) for name in names]


def _class_names(data: Data, classes: list[str]) -> list[str]:
    """``0 (malignant)`` where a Bunch names its classes; their order is that of the labels 0, 1, ..."""
    if data.target_names is None or classes != [str(i) for i in range(len(data.target_names))]:
        return classes
    return [
        f"{label} ({name})" if label != name else label for label, name in zip(classes, data.target_names, strict=True)
    ]


def _target(data: Data) -> str | None:
    if data.y is None:
        return None
    values = np.asarray(data.y)
    name = f"{data.y.name}, " if getattr(data.y, "name", None) is not None else ""
    if values.dtype.kind not in "fiu":
        return f"{name}{values.dtype.name}"
    return f"{name}from {values.min():.6g} to {values.max():.6g}"


def _parameters(fitted: Any, data: dict[str, Any]) -> "pd.DataFrame":
    import pandas as pd

    try:
        return model_parameters(fitted, data["features"])
    except InvalidOption:  # it holds nothing that is known
        return pd.DataFrame()


def _kind(fitted: Any) -> str:
    """``StandardScaler, SVC`` for a pipeline of these."""
    steps = [step for _, step in fitted.steps] if hasattr(fitted, "steps") else [fitted]
    return ", ".join(type(step).__name__ if not isinstance(step, str) else step for step in steps)


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
