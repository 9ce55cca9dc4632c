"""What a fitted SearchCV keeps of its run."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpo.database.records import TrialRecord
from hpo.database.run_name import RunName
from hpo.database.study_database import StudyDatabase
from hpo.runs.optuna_studies import study_of
from hpo.units import Metric

if TYPE_CHECKING:
    import optuna

    from hpo.runs.run import Run


@dataclass(frozen=True)
class KeptRun:
    """The run of a fitted search: where it is stored, or its trials."""

    name: RunName
    url: str | None = field(repr=False)  # it may have a password
    records: tuple[TrialRecord, ...]
    metric: Metric

    def open(self) -> "Run":
        """The run; its database is in memory where none was given."""
        from hpo.runs.run import Run

        if self.url is not None:
            return Run(str(self.name), StudyDatabase(self.url, must_exist=True))
        database = StudyDatabase(":memory:")
        attributes = {
            "study": self.name.study, "version": self.name.version, "sampler": self.name.sampler,
            "split": 0, "seed": self.name.seed,
            "budget": len(self.records), "metric": self.metric.key, "metric_sign": self.metric.sign,
        }  # fmt: skip
        key = database.create_run(self.name, attributes)
        for record in self.records:
            database.record(key, record)
        return Run(str(self.name), database)

    def study(self) -> "optuna.Study":
        """An Optuna study in memory."""
        trials = [record.trial for record in self.records]
        if self.url is not None:
            with StudyDatabase(self.url, must_exist=True) as database:
                trials = database.optuna_trials(database.study_id(str(self.name)))
        return study_of(str(self.name), trials, {"metric": self.metric.key})
