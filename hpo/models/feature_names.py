"""What features and classes are called at each place of a nest of fitted estimators."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np


class Names(NamedTuple):
    """What features and classes are called at one place of a nest; ``given`` are the user's names of classes."""

    features: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    given: tuple[str, ...] | None = None


def names_out(transformer: Any, features: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """What a fitted transformer calls the features that it makes of these, or None where it does not say."""
    if isinstance(transformer, str) or transformer is None:
        return features if transformer != "drop" else ()
    for arguments in ((features,), ()):
        try:
            return tuple(map(str, transformer.get_feature_names_out(*arguments)))
        except Exception:  # noqa: BLE001 - not every transformer knows names, and a user's may raise anything
            continue
    return None


def names_in(estimator: Any, given: Iterable[Any] | None) -> tuple[str, ...] | None:
    """The names given for an estimator's features, or those it was trained with, or None."""
    found = getattr(estimator, "feature_names_in_", None) if given is None else given
    return None if found is None else tuple(map(str, found))


def own_names(estimator: Any, names: Names) -> Names:
    """What an estimator's own features and classes are called."""
    features, n_features = names.features, getattr(estimator, "n_features_in_", None)
    if features is None or (n_features is not None and n_features != len(features)):
        features = names_in(estimator, None)
    classes, known = names.classes, getattr(estimator, "classes_", None)
    if isinstance(known, np.ndarray) and known.ndim == 1:
        classes = names.given if names.given and len(names.given) == len(known) else tuple(map(str, known))
    return Names(features, classes, names.given)


def inner_names(owner: Any, name: str, names: Names) -> Names:
    """What the features of an estimator inside another are called."""
    features = names.features
    if features is None or name == "transformer_":  # of the target
        return names._replace(features=None)
    attribute, _, index = name.rstrip("]").partition("[")
    if name == "final_estimator_":
        features = names_out(owner, features)
    elif attribute == "estimator_" and hasattr(owner, "ranking_"):  # was trained on the features that are kept
        features = tuple(np.asarray(features)[owner.support_])
    elif attribute == "estimators_" and hasattr(owner, "estimators_features_"):
        features = tuple(np.asarray(features)[owner.estimators_features_[int(index)]])
    return names._replace(features=features)


def parts_of(estimator: Any, parts: Any, names: Names | None) -> Iterator[tuple[str, Any, Names | None]]:
    """Name, fitted estimator and its features of each part of a pipeline, column transformer or feature union."""
    is_pipeline = hasattr(estimator, "steps")
    for label, part, *columns in parts:
        if names is None:
            its_names = None
        elif columns and names.features is not None:
            its_names = names._replace(features=_columns(names.features, columns[0]))
        else:
            its_names = names
        if hasattr(part, "fit"):
            yield label, part, its_names
        if names is not None and is_pipeline:
            names = names._replace(features=names_out(part, own_names(part, names).features))


def _columns(features: tuple[str, ...], columns: Any) -> tuple[str, ...] | None:
    """The names of a column transformer's columns: themselves, or by number, slice or mask."""
    if isinstance(columns, str) or (not isinstance(columns, slice) and len(columns) and isinstance(columns[0], str)):
        return (columns,) if isinstance(columns, str) else tuple(columns)
    try:
        return tuple(np.atleast_1d(np.asarray(features, dtype=object)[columns]))
    except (IndexError, ValueError, TypeError):
        return None
