"""The study database: Optuna's own tables, opened safely, written one transaction a trial, read as data frames.

Start with :mod:`hpo.database.study_database`. Trials are written in :mod:`hpo.database.records`, and nowhere else.
"""
