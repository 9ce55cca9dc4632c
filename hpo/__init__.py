"""Bayesian optimization studies of scikit-learn models.

Everything public is imported from here, and only when it is first used, so that ``hpo --help`` loads neither
Optuna nor scikit-learn.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hpo.process.lazy import leading_to
from hpo.version import __version__

if TYPE_CHECKING:
    from hpo.analysis.diagnosis import diagnose as diagnose
    from hpo.analysis.importance import importances as importances
    from hpo.analysis.selection import select as select
    from hpo.analysis.training_curves import training_curve as training_curve
    from hpo.analysis.validation_curves import validation_curve as validation_curve
    from hpo.cli.main import main as main
    from hpo.comparison.protocol import compare as compare
    from hpo.comparison.result import Comparison as Comparison
    from hpo.database.study_database import StudyDatabase as StudyDatabase
    from hpo.database.trial import Trial as Trial
    from hpo.errors import ClusterLost as ClusterLost
    from hpo.errors import DatabaseLost as DatabaseLost
    from hpo.errors import HpoError as HpoError
    from hpo.errors import InvalidDefinition as InvalidDefinition
    from hpo.errors import InvalidOption as InvalidOption
    from hpo.errors import InvalidSpace as InvalidSpace
    from hpo.errors import ModelTampered as ModelTampered
    from hpo.errors import NotComparable as NotComparable
    from hpo.errors import RunDeleted as RunDeleted
    from hpo.errors import RunFailed as RunFailed
    from hpo.errors import RunInUse as RunInUse
    from hpo.errors import ScriptFailed as ScriptFailed
    from hpo.errors import StudyChanged as StudyChanged
    from hpo.errors import UnknownPruner as UnknownPruner
    from hpo.errors import UnknownRun as UnknownRun
    from hpo.errors import UnknownSampler as UnknownSampler
    from hpo.errors import UnknownStudy as UnknownStudy
    from hpo.errors import UnstorableModel as UnstorableModel
    from hpo.errors import UnsuitablePruner as UnsuitablePruner
    from hpo.errors import UnsuitableSampler as UnsuitableSampler
    from hpo.errors import UntrustedDatabase as UntrustedDatabase
    from hpo.errors import UntrustedModel as UntrustedModel
    from hpo.errors import UnusableDatabase as UnusableDatabase
    from hpo.errors import WorkerBroken as WorkerBroken
    from hpo.models.equations import equation as equation
    from hpo.models.folder import load_model as load_model
    from hpo.models.parameters import count_parameters as count_parameters
    from hpo.models.parameters import model_parameters as model_parameters
    from hpo.runs.manual import try_configuration as try_configuration
    from hpo.runs.run import Run as Run
    from hpo.runs.runner import run as run
    from hpo.search_cv.search import SearchCV as SearchCV
    from hpo.study.catalogue import find_study as find_study
    from hpo.study.definition import Data as Data
    from hpo.study.definition import StudyDefinition as StudyDefinition
    from hpo.study.hyperparameters import Categorical as Categorical
    from hpo.study.hyperparameters import Float as Float
    from hpo.study.hyperparameters import Int as Int
    from hpo.study.metrics import Metric as Metric
    from hpo.study.space import SearchSpace as SearchSpace
    from hpo.study.splits import CrossValidation as CrossValidation
    from hpo.study.splits import Holdout as Holdout

_ERRORS = (
    "ClusterLost", "DatabaseLost", "HpoError", "InvalidDefinition", "InvalidOption", "InvalidSpace", "ModelTampered",
    "NotComparable", "RunDeleted", "RunFailed", "RunInUse", "ScriptFailed", "StudyChanged", "UnknownRun",
    "UnknownPruner", "UnknownSampler", "UnknownStudy", "UnstorableModel", "UnsuitablePruner", "UnsuitableSampler",
    "UntrustedDatabase", "UntrustedModel", "UnusableDatabase",
    "WorkerBroken",
)  # fmt: skip
_HOMES = {
    **dict.fromkeys(_ERRORS, "hpo.errors"),
    **dict.fromkeys(("Float", "Int", "Categorical"), "hpo.study.hyperparameters"),
    **dict.fromkeys(("Holdout", "CrossValidation"), "hpo.study.splits"),
    **dict.fromkeys(("Data", "StudyDefinition"), "hpo.study.definition"),
    "Run": "hpo.runs.run",
    "Trial": "hpo.database.trial",
    "Comparison": "hpo.comparison.result",
    "Metric": "hpo.study.metrics",
    "compare": "hpo.comparison.protocol",
    "SearchCV": "hpo.search_cv.search",
    "SearchSpace": "hpo.study.space",
    "StudyDatabase": "hpo.database.study_database",
    "count_parameters": "hpo.models.parameters",
    "diagnose": "hpo.analysis.diagnosis",
    "equation": "hpo.models.equations",
    "find_study": "hpo.study.catalogue",
    "importances": "hpo.analysis.importance",
    "load_model": "hpo.models.folder",
    "main": "hpo.cli.main",
    "model_parameters": "hpo.models.parameters",
    "run": "hpo.runs.runner",
    "select": "hpo.analysis.selection",
    "training_curve": "hpo.analysis.training_curves",
    "try_configuration": "hpo.runs.manual",
    "validation_curve": "hpo.analysis.validation_curves",
}
__all__ = [*sorted(_HOMES), "__version__"]


# Pickles of versions up to 0.1 name these modules; each has moved into a room.
MOVED = {
    "hpo.definition": "hpo.study.definition",
    "hpo.diagnosis": "hpo.evaluation.diagnosis",
    "hpo.edges": "hpo.study.edges",
    "hpo.epochs": "hpo.analysis.training_curves",
    "hpo.foreign_spaces": "hpo.study.foreign_spaces",
    "hpo.hyperparameters": "hpo.study.hyperparameters",
    "hpo.importance": "hpo.analysis.importance",
    "hpo.landscape": "hpo.analysis.landscape",
    "hpo.limits": "hpo.runs.stopping",
    "hpo.metrics": "hpo.study.metrics",
    "hpo.pruners": "hpo.samplers.pruners",
    "hpo.records": "hpo.database.records",
    "hpo.results": "hpo.evaluation.results",
    "hpo.run_diagnosis": "hpo.runs.diagnosis",
    "hpo.run_name": "hpo.database.run_name",
    "hpo.search_kept": "hpo.search_cv.kept",
    "hpo.selection": "hpo.analysis.selection",
    "hpo.space": "hpo.study.space",
    "hpo.splits": "hpo.study.splits",
    "hpo.varying": "hpo.analysis.validation_curves",
}


class _Moved(ModuleType):
    """A module under its former name, which loads the present one when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # whoever looks through all modules asks for these
            raise AttributeError(name)
        return getattr(import_module(MOVED[self.__name__]), name)


sys.modules.update((name, _Moved(name)) for name in MOVED)


__getattr__ = leading_to(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
