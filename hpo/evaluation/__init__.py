"""A configuration to its scores: fold by fold, in this process, in child processes, or on a Dask cluster.

Start with :mod:`hpo.evaluation.evaluate`. The engines (:mod:`hpo.evaluation.engine`) decide where it runs. Nothing
here knows Optuna or the database.
"""
