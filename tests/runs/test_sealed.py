"""The sealed test rows are opened for finished incumbents only, and every opening is counted."""

import json

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from conftest import tree_study
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo.database import records
from hpo.database.study_database import StudyDatabase
from hpo.evaluation.engine import InProcess
from hpo.evaluation.evaluate import Problem
from hpo.runs.sealed_rows import Finalist, score_on_test
from hpo.runs.session import StudySession
from hpo.study.splits import TEST_FOLD

PLAN = {"samplers": ["random", "tpe"], "repetitions": 6, "trials": 5, "workers": 1, "progress": "none"}


class Spy(DecisionTreeClassifier):
    """Remembers how many rows it was trained on, and what it was asked to predict."""

    seen: list[tuple[int, int]] = []  # noqa: RUF012 - one list for all, which is the point

    def fit(self, X, y):
        self.n_rows_ = len(X)
        return super().fit(X, y)

    def predict_proba(self, X):
        Spy.seen.append((self.n_rows_, len(X)))
        return super().predict_proba(X)


def test_the_test_is_scored_by_a_model_of_train_and_validation_rows(tree):
    problem = Problem(tree)
    train, scored = problem.partition.fold(TEST_FOLD)
    assert sorted([*train, *scored]) == list(range(150))
    assert len(scored) == 30
    assert set(scored) == set(Problem(tree, 3).partition.fold(TEST_FOLD)[1])  # the same in every split


def test_a_comparison_scores_every_incumbent_once_and_a_run_none(database):
    definition = tree_study(estimator=Spy(max_depth=2))
    Spy.seen.clear()
    hpo.run(definition, sampler="random", trials=5, database=database, progress="none")
    assert not any(rows == (120, 30) for rows in Spy.seen)  # proposing, scoring and stopping never read them
    assert database.test_scores("iris-tree").empty
    hpo.compare(definition, database=database, **PLAN)
    trials = database.trials(study="iris-tree")
    wanted = set()
    for _, run in trials.groupby(["sampler", "split", "seed"]):
        best = -np.inf
        for row in run.itertuples():
            if row.value > best:
                best = row.value
                wanted.add((row.split, row.configuration))
    scores = database.test_scores("iris-tree")
    assert len(scores) == len(wanted) == Spy.seen.count((120, 30))
    assert set(scores["configuration"]) == {key for _, key in wanted}
    assert scores["value"].notna().all()
    hpo.compare(definition, database=database, **PLAN)
    assert Spy.seen.count((120, 30)) == len(wanted)  # nothing is opened twice


def test_the_score_is_that_of_the_model_on_the_test_rows(database, tree):
    hpo.compare(tree, database=database, **PLAN)
    scores = database.test_scores("iris-tree").set_index(["context", "configuration"])["value"]
    session = StudySession(tree, database)
    trial = database.trials("iris-tree/random/split1-seed1").iloc[0]
    stored = database.trial("iris-tree/random/split1-seed1", 0)
    problem = Problem(tree, 1)
    X, y, _ = problem.rows(problem.partition.development)
    X_test, y_test, _ = problem.rows(problem.partition.test)
    model = problem.estimator(tree.space.use(dict(stored.params))).fit(X, y)
    by_hand = problem.scorer(model, X_test, y_test)["neg_brier_score"]
    assert scores[session.context(1), trial["configuration"]] == pytest.approx(by_hand)


def test_nothing_is_opened_where_nobody_asked(database, tree):
    comparison = hpo.compare(tree, database=database, open_test=False, **PLAN)
    assert database.test_scores("iris-tree").empty
    assert not comparison.has_test
    assert any("sealed test rows were not scored" in warning for warning in comparison.warnings())
    no_test = tree_study("no-test", split=hpo.CrossValidation(folds=2, test=0))
    assert not hpo.compare(no_test, database=database, **PLAN).has_test
    assert database.test_scores("no-test").empty


@pytest.mark.parametrize("resplit", [True, False])
def test_nothing_is_opened_where_no_verdict_can_be_reached(database, tree, resplit):
    fewest = 6 if resplit else 4  # of two-sided tests at 5%: 2 / 2**6, and 2 / (8 choose 4)
    few = hpo.compare(tree, database=database, resplit=resplit, **{**PLAN, "repetitions": fewest - 1})
    assert database.test_scores("iris-tree").empty
    said = " ".join(few.warnings())
    assert f"{fewest - 1} repetitions can never reach a verdict" in said
    enough = hpo.compare(tree, database=database, resplit=resplit, **{**PLAN, "repetitions": fewest})
    assert enough.has_test
    assert not database.test_scores("iris-tree").empty
    assert "can never reach a verdict" not in " ".join(enough.warnings())
    assert enough.test_errors.notna().all()


def test_what_was_opened_before_is_counted_and_said(database, tree):
    hpo.compare(tree, database=database, **{**PLAN, "trials": 8})
    small = hpo.compare(tree, database=database, **{**PLAN, "repetitions": 1, "trials": 3})
    scores = database.test_scores("iris-tree")
    assert small.n_opened_before > 0
    assert f"scored for {small.n_opened_before} other configuration" in " ".join(small.warnings())
    database.delete("iris-tree/tpe/split1-seed1")
    pd.testing.assert_frame_equal(database.test_scores("iris-tree"), scores)  # an opening is not undone


class FailsOnAll(DecisionTreeClassifier):
    def fit(self, X, y):
        if len(X) == 120:
            raise ValueError("too many rows")
        return super().fit(X, y)


def test_a_finalist_that_cannot_be_trained_on_all_is_the_worst_and_not_tried_again(database):
    definition = tree_study(estimator=FailsOnAll())
    comparison = hpo.compare(definition, database=database, **PLAN)
    scores = database.test_scores("iris-tree")
    assert scores["value"].isna().all()
    assert set(scores["error"]) == {"ValueError: too many rows"}
    assert comparison.has_test
    assert comparison.finals["test"].isna().all()
    assert "held-out" not in comparison.rows()[0]  # there is none to show, and the warnings say why
    said = [warning for warning in comparison.warnings() if "could not be trained" in warning]
    assert len(said) == 3  # of random, tpe and the reference
    assert all("in 6 of 6 repetitions" in warning for warning in said)
    assert "not known row by row" not in " ".join(comparison.warnings())


def test_the_seal_is_opened_one_by_one_until_the_user_wants_an_end(database, tree):
    session = StudySession(tree, database)
    hpo.run(tree, sampler="random", trials=6, database=database, progress="none")
    frame = database.trials("iris-tree/random/split0-seed0")
    run = "iris-tree/random/split0-seed0"
    finalists = [
        Finalist(run, number, 0, dict(database.trial(run, number).params), key)
        for number, key in enumerate(frame["configuration"])
    ]
    calls = iter([None, None, "interrupted", *["interrupted"] * 20])
    engine = InProcess(session.problem)
    n_scored = score_on_test(session, engine, finalists, stop=lambda: next(calls))
    assert n_scored == len(database.test_scores("iris-tree")) < 6
    assert score_on_test(session, engine, finalists[n_scored:]) == 6 - n_scored
    with StudyDatabase(database.url) as again:
        assert set(again.test_scores("iris-tree")["configuration"]) == set(frame["configuration"])


def test_what_an_older_version_scored_is_scored_again_row_by_row_and_keeps_its_score(database, tree):
    hpo.compare(tree, database=database, **PLAN)
    before = database.test_scores("iris-tree")
    assert before["row_values"].str.len().gt(0).all()
    with database.engine.begin() as connection:  # as it was stored before
        for row in connection.execute(sa.select(records.test_scores)).all():
            result = json.loads(row.result)
            del result["row_values"]
            same = records.test_scores.c.configuration == row.configuration
            same &= records.test_scores.c.context == row.context
            connection.execute(records.test_scores.update().where(same).values(result=json.dumps(result)))
    older = hpo.compare(tree, database=database, runs_missing=False, **PLAN)
    assert older.has_test
    assert older.worth["row_luck"].isna().all()
    assert any("what an older version scored, hpo compare scores again" in warning for warning in older.warnings())
    again = hpo.compare(tree, database=database, **PLAN)
    pd.testing.assert_frame_equal(database.test_scores("iris-tree"), before)
    assert again.worth["row_luck"].notna().all()
    assert (again.table["test_low"] < again.table["test"]).all()
