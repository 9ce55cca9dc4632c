"""The grid never loses or repeats a cell: interrupted, reordered, extended, failed."""

import json
import math

import pytest
from conftest import tree_study
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo import Categorical, Float, Int, SearchSpace
from hpo.samplers.grid import Permutation
from hpo.samplers.table import find_sampler

SMALL = {
    "splitter": Categorical(["best", "random"]),
    "max_depth": Int(1, 3),
    "max_features": Float(0.25, 1.0, grid=4, when={"splitter": "random"}),
}  # 3 cells under best, 3 x 4 under random


def cells(run) -> list[str]:
    names = [column for column in run.trials if column.startswith("params_")]
    return [
        json.dumps({name: value for name, value in row.items() if value == value})
        for row in run.trials[sorted(names)].to_dict("records")
    ]


def grid(definition, database, **options):
    return hpo.run(definition, sampler="grid", database=database, progress="none", **options)


@settings(deadline=None, max_examples=60)
@given(size=st.integers(1, 700), seed=st.integers(0, 2**32 - 1))
def test_a_permutation_visits_every_index_once(size, seed):
    order = Permutation(size, seed)
    assert sorted(order[i] for i in range(size)) == list(range(size))


def test_another_seed_is_another_order():
    orders = {tuple(Permutation(100, seed)[i] for i in range(100)) for seed in range(5)}
    assert len(orders) == 5
    assert tuple(range(100)) not in orders


def test_alone_it_runs_whole_and_each_cell_once(database):
    run = grid(tree_study(space=SMALL), database)
    assert len(cells(run)) == len(set(cells(run))) == 15
    assert run.database.runs().set_index("run").loc[str(run.name), "state"] == "done"


def test_a_conditional_grid_has_no_inactive_values(database):
    trials = grid(tree_study(space=SMALL), database).trials
    assert trials.loc[trials["params_splitter"] == "best", "params_max_features"].isna().all()


def test_interrupted_reordered_and_continued_it_runs_only_what_is_missing(database):
    grid(tree_study(space=SMALL), database, trials=4)
    turned = dict(reversed(SMALL.items())) | {"splitter": Categorical(["random", "best"])}
    run = grid(tree_study(space=turned), database)
    assert len(cells(run)) == len(set(cells(run))) == 15


def test_another_seed_covers_every_cell_too(database):
    run = grid(tree_study(space=SMALL), database, seed=7)
    assert len(set(cells(run))) == 15


def test_more_trials_than_cells_is_done_when_there_is_nothing_left(database):
    run = grid(tree_study(space=SMALL), database, trials=40)
    assert len(cells(run)) == 15
    assert run.database.runs().set_index("run").loc[str(run.name), "state"] == "done (exhausted)"


def test_an_extended_grid_takes_over_the_cells_already_evaluated(database):
    first = grid(tree_study(space=SMALL), database)
    extended = {**SMALL, "max_depth": Int(1, 4)}
    with pytest.raises(hpo.StudyChanged, match=r"changed since.*: space\. .*--new-version to start iris-tree@2"):
        grid(tree_study(space=extended), database)
    second = grid(tree_study(space=extended), database, new_version=True)
    assert str(second.name) == "iris-tree@2/grid/split0-seed0"
    assert set(cells(second)) > set(cells(first))
    assert len(cells(second)) == 20
    reused = second.trials["duplicate_of"].notna()
    assert reused.sum() == 15
    assert second.trials.loc[reused, "duplicate_of"].str.startswith("iris-tree/grid/split0-seed0#").all()
    # Without a version, the one whose definition is at hand is meant.
    assert grid(tree_study(space=SMALL), database).name.version == 1
    assert grid(tree_study(space=extended), database).name.version == 2


class FailsFirst(DecisionTreeClassifier):
    """Fails at depth 2 as long as the switch is on."""

    broken = True

    def fit(self, X, y):
        if self.max_depth == 2 and FailsFirst.broken:
            raise RuntimeError("out of luck")
        return super().fit(X, y)


@pytest.fixture
def broken():
    FailsFirst.broken = True
    yield
    FailsFirst.broken = True


def test_failed_cells_are_not_covered_and_are_retried_on_request(database, broken):
    definition = tree_study(space=SMALL, estimator=FailsFirst())
    run = grid(definition, database)
    assert (run.trials["state"] == "FAIL").sum() == 5
    assert len(grid(definition, database).trials) == 15  # not on its own
    FailsFirst.broken = False
    run = grid(definition, database, retry_failed=True)
    complete = run.trials[run.trials["state"] == "COMPLETE"]
    assert len(run.trials) == 20
    assert len(complete) == len(set(cells(run))) == 15
    assert len(grid(definition, database, retry_failed=True).trials) == 20  # nothing is left to retry


def test_start_configurations_are_not_proposed_again(database):
    start = [{"splitter": "best", "max_depth": 2}]
    run = grid(tree_study(space=SMALL, start=start), database)
    assert len(cells(run)) == len(set(cells(run))) == 15
    first = run.trial(0).params
    assert first == start[0]


def test_a_start_outside_the_grid_is_a_trial_more(database):
    start = [{"splitter": "random", "max_depth": 2, "max_features": 0.3}]
    run = grid(tree_study(space=SMALL, start=start), database)
    assert len(set(cells(run))) == 16


def test_size_and_time_are_said_before_it_starts(database, capsys):
    hpo.run(tree_study(space=SMALL), sampler="grid", trials=5, database=database)
    assert "grid, 5 of 15 cells, in a seeded random order; 5 to evaluate, about " in capsys.readouterr().err


def test_a_huge_grid_is_neither_listed_nor_slow_to_begin(database):
    space = {"ccp_alpha": Float(1e-5, 1e-1, log=True, grid=10**5), "max_depth": Int(1, 8, grid=8)}
    space |= {"min_samples_leaf": Int(1, 40, grid=40), "max_features": Float(0.1, 1.0, grid=10**3)}
    definition = tree_study(space=space)
    assert math.log10(definition.space.grid_size) > 10
    run = grid(definition, database, trials=20)
    assert len(set(cells(run))) == 20


def test_optunas_grid_would_have_repeated_cells():
    """The reason for a grid of our own (design: 24 trials for 7 distinct cells): conditions do not multiply ours."""
    space = SearchSpace(SMALL)
    flat = math.prod(len(p.levels()) for p in space.parameters.values())
    assert (space.grid_size, flat) == (15, 24)
    assert find_sampler("grid").is_grid
