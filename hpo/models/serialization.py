"""A fitted estimator as bytes, and back: with skops, which runs no code of the file's choosing, or as a pickle."""

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo.errors import UnstorableModel
from hpo.fingerprint.ownership import STUDY_MARK
from hpo.study.publication import by_value
from hpo.units import one_line

FORMATS = {"skops": "model.skops", "joblib": "model.joblib"}

# What scikit-learn's models hold that skops leaves to its users to trust. None runs code of the file's choosing; but
# skops cannot check what is inside a tree, and a forged one can crash the process (skops.io.exceptions).
KNOWN_TYPES = (
    "numpy.dtype",
    "numpy.mean",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.cluster._bisect_k_means._BisectingTree",
    "sklearn.cluster._kmeans._kmeans_single_lloyd",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *(
        f"sklearn.gaussian_process.kernels.{kernel}"
        for kernel in ("ConstantKernel", "Matern", "Product", "RBF", "RationalQuadratic", "Sum", "WhiteKernel")
    ),
    *(
        f"sklearn.metrics._dist_metrics.{metric}Distance64"
        for metric in ("Euclidean", "Manhattan", "Minkowski", "Chebyshev")
    ),
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
)


@dataclass(frozen=True)
class Packed:
    """A fitted estimator as bytes.

    Attributes:
        file: name of its file.
        content: of the file.
        types: that whoever loads it must trust, beside skops's own and KNOWN_TYPES.
    """

    file: str
    content: bytes
    types: tuple[str, ...] = ()


def pack(fitted: Any, file_format: str, sample: Any) -> Packed:
    """A fitted estimator as the bytes of a file that makes the same model again, which is tried.

    Args:
        fitted: the estimator.
        file_format: a key of FORMATS.
        sample: rows for which what was loaded must say the same.

    Raises:
        UnstorableModel: the format cannot hold it, and what to do.
    """
    try:
        packed = _with_skops(fitted) if file_format == "skops" else _with_joblib(fitted)
        loaded = unpack(packed.file, packed.content, packed.types)
    except UnstorableModel:
        raise
    except Exception as error:  # an estimator may hold anything
        raise UnstorableModel(_cannot(file_format, fitted, f"{type(error).__name__}: {one_line(error)}")) from error
    for method in ("predict_proba", "predict", "transform"):
        if hasattr(fitted, method) and not _says_the_same(getattr(fitted, method), getattr(loaded, method), sample):
            raise UnstorableModel(_cannot(file_format, fitted, f"its {method} is another one once it is loaded"))
    return packed


def _with_skops(fitted: Any) -> Packed:
    from skops.io import dumps, get_untrusted_types

    content = dumps(fitted)
    types = tuple(name for name in get_untrusted_types(data=content) if name not in KNOWN_TYPES)
    for name in types:
        module = name.rpartition(".")[0]
        if module == "__main__" or hasattr(sys.modules.get(module), STUDY_MARK):
            what = name.rpartition(".")[2]
            raise UnstorableModel(
                f"{what} is defined in the study's script, which nobody who loads the model can import: move it to a "
                "module of its own, or export with --format joblib, which takes it along"
            )
    return Packed(FORMATS["skops"], content, types)


def _with_joblib(fitted: Any) -> Packed:
    """What ``joblib.load`` reads; the user's own classes go along, as cloudpickle knows how to."""
    import cloudpickle

    with by_value():
        return Packed(FORMATS["joblib"], cloudpickle.dumps(fitted))


def unpack(file: str, content: bytes, types: Sequence[str]) -> Any:
    """The estimator in a file of one of the FORMATS; ``types`` are trusted beside KNOWN_TYPES and skops's own."""
    if file == FORMATS["skops"]:
        from skops.io import loads

        return loads(content, trusted=[*KNOWN_TYPES, *types])
    import joblib

    return joblib.load(io.BytesIO(content))


def _says_the_same(one: Any, other: Any, sample: Any) -> bool:
    try:
        before = one(sample)
    except Exception:  # noqa: BLE001 - what it cannot do now it need not do later
        return True
    before, after = (
        part.toarray() if hasattr(part, "toarray") else np.asarray(part) for part in (before, other(sample))
    )
    if before.dtype.kind in "fc":
        return bool(np.array_equal(before, after, equal_nan=True))
    return bool(np.array_equal(before, after))


def _cannot(file_format: str, fitted: Any, why: str) -> str:
    does = f"skops cannot hold this {type(fitted).__name__} ({why}): export with --format joblib"
    return does if file_format == "skops" else f"this {type(fitted).__name__} cannot be pickled ({why})"
