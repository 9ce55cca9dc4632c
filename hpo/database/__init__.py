"""The study database: Optuna's own tables, opened safely, written one transaction a trial, read as data frames.

Start with :mod:`hpo.database.study_database`. Trials are written in :mod:`hpo.database.records`, and nowhere else.
"""

from hpo.process.lazy import leading_to

__getattr__ = leading_to(__name__, {"StudyDatabase": "hpo.database.study_database"})  # pickles ask for it here
