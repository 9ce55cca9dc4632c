"""The final model: a trial's configuration trained on train and validation rows, its test score, and its folder."""

import contextlib
import os
import platform
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from hpo.definition import Data, versions
from hpo.errors import HpoError, InvalidOption
from hpo.evaluation import Problem, take_rows
from hpo.model_card import Card, model_card
from hpo.model_folder import CARD, check_target, write_folder
from hpo.packing import FORMATS, pack
from hpo.parameters import model_parameters
from hpo.row_scores import error_of_score, unpacked
from hpo.run_diagnosis import diagnose
from hpo.run_name import RunName
from hpo.sealed import score_model_on_test
from hpo.session import StudySession
from hpo.units import Metric, counted

if TYPE_CHECKING:
    import pandas as pd

    from hpo.runs import Run, Trial

_UNKNOWN = (None, None)
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
        about_test: what became of them, in a sentence.
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
    about_test: str
    n_opened: int
    types: tuple[str, ...]
    fit_seconds: float
    warnings: dict[str, int]


def export_trial(
    run: "Run",
    trial: "Trial",
    session: StudySession,
    path: "str | os.PathLike[str]",
    *,
    file_format: str = "skops",
    force: bool = False,
    open_test: bool = True,
) -> Exported:
    """Train a trial's configuration on train and validation rows, score it on the sealed test rows, and write it.

    The seal is opened last, when nothing but the disk can fail any more; arguments as for :meth:`hpo.Run.export`.

    Raises:
        InvalidOption: the folder or the format cannot be.
        UnstorableModel: the format cannot hold the model.
        RunFailed: training raised.
    """
    if file_format not in FORMATS:
        raise InvalidOption(f"format={file_format!r}: allowed are {', '.join(FORMATS)}")
    target = check_target(path, force=force)
    problem = session.problem(run.name.split)
    stored = run.attributes
    begun = time.monotonic()
    with threadpool_limits(stored.get("threads")), warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        fitted = run.trained(trial, problem)
    seconds = time.monotonic() - begun
    rows = problem.partition.development
    packed = pack(fitted, file_format, take_rows(problem.data.X, rows[:_SAMPLE]))
    diagnosis = None
    with contextlib.suppress(HpoError):  # a card without it is a card all the same
        diagnosis = diagnose(run).sentence if trial.number == run.best.number else None
    key = str(trial.attributes["configuration"])
    (test, test_error), about_test, n_opened = _test(session, run.name, key, fitted, open_test=open_test)
    about = _about(run, trial, problem, fitted)
    manifest = {
        **about,
        "scores": {
            **about["scores"],
            "test": test,
            "test_error": test_error,
            "reference": _reference_scores(session, run),
        },
        "test": {"said": about_test, "configurations_scored": n_opened},
        "diagnosis": diagnosis,
        "hashes": dict(session.hashes),
        "format": file_format,
        "types": list(packed.types),
        "versions": {**{k: v for k, v in versions().items() if k != "optuna"}, file_format: version(file_format)},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    card = Card(
        manifest, run.metric, problem.definition.usual(), _parameters(fitted, about["data"]), about_test, n_opened
    )
    files = {packed.file: packed.content, CARD: model_card(card).encode()}
    digest = write_folder(target, files, manifest)
    assert trial.value is not None  # it is complete
    return Exported(
        path=target,
        file=packed.file,
        n_bytes=len(packed.content),
        digest=digest,
        run=str(run.name),
        trial=trial.number,
        metric=run.metric,
        value=trial.value,
        reference=manifest["scores"]["reference"]["validation"],
        test=test,
        test_error=test_error,
        about_test=about_test,
        n_opened=n_opened,
        types=packed.types,
        fit_seconds=seconds,
        warnings=dict(Counter(warning.category.__name__ for warning in raised)),
    )


def _about(run: "Run", trial: "Trial", problem: Problem, fitted: Any) -> dict[str, Any]:
    """The part of the manifest that the run and its data decide."""
    stored = run.attributes
    return {
        "study": run.name.study,
        "run": str(run.name),
        "trial": trial.number,
        "sampler": run.name.sampler,
        "configuration": str(trial.attributes["configuration"]),
        "split": run.name.split,
        "estimator": _kind(fitted),
        "hyperparameters": {name: _plain(value) for name, value in trial.params.items()},
        "metric": {"name": run.metric.key, "higher_is_better": True, "shown_sign": run.metric.sign},
        "scores": {"validation": trial.value, "training": trial.train_score, "folds": list(trial.fold_scores)},
        "data": _data(problem, fitted),
        "run_versions": {k.removeprefix("version_"): v for k, v in stored.items() if k.startswith("version_")},
        "environment": {
            "platform": platform.platform(),
            "machine": platform.machine(),
            "threads": stored.get("threads"),
        },
    }


def _reference_scores(session: StudySession, run: "Run") -> dict[str, float | None]:
    reference = run.reference
    if reference is None:
        return {"validation": None, "training": None, "test": None, "test_error": None}
    test, error = _stored_test(session, run.name.split, reference)
    return {"validation": reference.value, "training": reference.train_score, "test": test, "test_error": error}


def _test(
    session: StudySession, name: RunName, key: str, fitted: Any, *, open_test: bool
) -> tuple[tuple[float | None, float | None], str, int]:
    """The score on the sealed test rows with its error, what to say of it, and how many configurations they scored."""
    if not session.has_test:
        return _UNKNOWN, "The study seals no test rows (test=0): nothing here was scored on rows that had no say.", 0
    database, study, context = session.database, session.definition.name, session.context(name.split)
    rows = counted(session.n_test, "sealed test row")
    scores = database.test_scores(study)
    known = scores[(scores["context"] == context) & (scores["configuration"] == key)]
    is_new = known.empty and open_test
    if is_new:
        score_model_on_test(session, name.split, key, fitted)
        scores = database.test_scores(study)
        known = scores[(scores["context"] == context) & (scores["configuration"] == key)]
    n_opened = len(scores)
    count = f"The sealed test rows of this study have been scored for {counted(n_opened, 'configuration')}."
    if known.empty:
        return _UNKNOWN, f"The {rows} stayed sealed. {count}", n_opened
    found = known.iloc[0]
    if is_new and n_opened == 1 and found["error"] is None:
        held_out = rows.replace("sealed", "held-out")
        first = f"This is the first time the {held_out} were used (1 configuration scored so far)."
        return _with_error(found), first, n_opened
    when = "were opened for this model" if is_new else f"had scored this configuration on {found['opened']:%Y-%m-%d}"
    again = "" if is_new else ", and were not opened anew"
    failed = "" if found["error"] is None else f"; that failed ({found['error']})"
    return _with_error(found), f"The {rows} {when}{again}{failed}. {count}", n_opened


def _stored_test(session: StudySession, split: int, trial: "Trial") -> tuple[float | None, float | None]:
    """What the sealed test rows said of another trial, where they were ever asked."""
    scores = session.database.test_scores(session.definition.name)
    key = trial.attributes["configuration"]
    known = scores[(scores["context"] == session.context(split)) & (scores["configuration"] == key)]
    return _UNKNOWN if known.empty else _with_error(known.iloc[0])


def _with_error(found: "pd.Series") -> tuple[float | None, float | None]:
    """A score on the sealed test rows, and how far it may be off for other rows, 95%."""
    error = error_of_score(unpacked(found["row_values"]))
    return _number(found["value"]), None if error is None else _number(error)


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
