"""What the configuration of a stored trial learns: trained once more, because models are not kept."""

import sys
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo.errors import HpoError
from hpo.units import format_duration, one_line

if TYPE_CHECKING:
    import pandas as pd

    from hpo.database.trial import Trial
    from hpo.runs.run import Run

_WORTH_SAYING = 5  # seconds of training


@dataclass(frozen=True)
class Learned:
    """What a configuration learned when it was trained once more.

    Attributes:
        parameters: columns as in :func:`hpo.model_parameters`.
        equation: of a linear model, or None.
        seconds: what training took, with loading the data.
    """

    parameters: "pd.DataFrame"
    equation: str | None
    seconds: float


def learn(run: "Run", trial: "Trial | None" = None) -> Learned | str:
    """What the best trial of a run, or another, learns from training and validation rows; or why that is not known.

    Args:
        run: opened with its definition or without; then that is looked for where the run says it came from.
        trial: None is the best.
    """
    from hpo.models.equations import equation
    from hpo.models.parameters import model_parameters
    from hpo.runs.origin import study_of

    if trial is None and run.has_success:
        trial = run.best
    if trial is None or trial.state != "COMPLETE":
        return ""
    try:
        if run.definition is None:
            run.definition = study_of(run.name, run.database)
        if trial.fit_seconds > _WORTH_SAYING:
            about = format_duration(trial.fit_seconds / max(len(trial.fold_scores), 1))
            print(f"hpo: training trial {trial.number} once more, about {about} (not with --no-refit)", file=sys.stderr)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were counted when it was a trial
            begun = time.monotonic()
            estimator = run.trained(trial)
            seconds = time.monotonic() - begun
        return Learned(model_parameters(estimator), equation(estimator), seconds)
    except HpoError as error:
        return f"model parameters are not shown: {one_line(error)}"
