"""Write a database for the tests of later versions: python tests/databases/make.py NAME.

Run once by each release, which leaves ``NAME.sql`` (the database as text), ``NAME.json`` (what it shows) and
``NAME.pickle`` (what users may have pickled) beside this file. Never run again for a version that has its files.
"""

import json
import os
import pickle
import sqlite3
import sys
import tempfile
from pathlib import Path

import kept
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mean_absolute_error

import hpo

HERE = Path(__file__).resolve().parent


def make(database):
    """Run everything a database can hold, some of it not to its end."""
    tree, built, drawn = kept.TREE, kept.BUILT, kept.DRAWN
    quiet = {"database": database, "progress": "none"}
    hpo.run(tree, sampler="grid", trials=10, **quiet)
    hpo.run(tree, sampler="random", seed=1, trials=6, **quiet)
    hpo.run(tree, sampler="tpe", trials=13, **quiet)
    hpo.run(tree, sampler="random", pruner="racing", trials=6, **quiet)
    hpo.run(tree, sampler="tpe", seed=5, lag=2, workers=2, trials=13, **quiet)
    hpo.run(built, sampler="random", trials=5, **quiet)
    hpo.run(built, sampler="qmc", trials=5, **quiet)
    hpo.run(drawn, sampler="random", trials=4, **quiet)
    hpo.run(drawn, sampler="cmaes", trials=8, **quiet)
    hpo.try_configuration(tree, {"criterion": "entropy", "max_depth": 3, "min_samples_leaf": 2}, database=database)
    hpo.compare(tree, samplers=["random", "grid"], repetitions=3, trials=5, workers=1, **quiet)
    searches, X, y = kept.searches(database)
    for search in searches.values():
        search.fit(X, y)


def pickled():
    """What users may have pickled, of each kind one."""
    X, y = load_iris(return_X_y=True)
    space = {"C": hpo.Float(0.01, 10, log=True)}
    model = LogisticRegression(max_iter=500)
    fitted = hpo.SearchCV(model, space, sampler="random", n_trials=4, cv=3, database="iris.db").fit(X, y)
    return {
        "fitted": fitted,
        "in_memory": hpo.SearchCV(model, space, sampler="tpe", n_trials=4, cv=3).fit(X, y),
        "unfitted": hpo.SearchCV(model, space, pruner="racing"),
        "space": hpo.SearchSpace(space),
        "holdout": hpo.Holdout(),
        "cv": hpo.CrossValidation(3),
        "metric": hpo.Metric(mean_absolute_error, greater_is_better=False),
        "data": hpo.Data(X, y),
        "definition": hpo.StudyDefinition(
            name="iris", data=load_iris, estimator=model, space=space, split=hpo.CrossValidation(3), metric="accuracy"
        ),
        "trials": fitted.run_.complete,
        "best": fitted.run_.best,
        "model_parameters": hpo.model_parameters(fitted.best_estimator_),
    }


def main(name):
    """Write ``name.sql``, ``name.json`` and ``name.pickle``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kept.db"
        make(str(path))
        with hpo.StudyDatabase(path) as database:
            trials = database.trials()
        shown = {
            str(run): kept.table(part.sort_values("number")["value"])
            for run, part in trials.groupby(["study", "sampler", "split", "seed"])
        }
        connection = sqlite3.connect(path)
        (HERE / f"{name}.sql").write_text("\n".join(connection.iterdump()) + "\n", encoding="utf-8")
        connection.close()
        os.chdir(folder)
        content = pickle.dumps(pickled(), protocol=4)
        (HERE / f"{name}.pickle").write_bytes(content)
        (HERE / f"{name}.json").write_text(json.dumps(shown, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
