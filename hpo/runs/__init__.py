"""Runs: propose, evaluate, record, until a limit is reached; and what their user holds afterwards.

A trial's way: :mod:`hpo.runs.runner` opens a session, :mod:`hpo.runs.driver` keeps the workers busy,
:mod:`hpo.runs.study_run` makes the loop of a run, :mod:`hpo.runs.loop` proposes, tells and records.
:mod:`hpo.runs.run` is what the user gets back.
"""

from hpo.process.lazy import leading_to

__getattr__ = leading_to(__name__, {"Run": "hpo.runs.run", "Trial": "hpo.database.trial"})  # pickles ask for it here
