"""What is read in columns is what Optuna reads, and costs no more than it must."""

import gc
import io
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from unittest import mock

import optuna
import pytest
from conftest import FLAT, opened_by_optuna, optunas, tree_study
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import TrialState
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

import hpo
from hpo.cli.text import plain_table
from hpo.dashboard.cache import collect
from hpo.dashboard.site import Browser
from hpo.dashboard.storage import BrowsedStorage
from hpo.database import records
from hpo.database.opening import has_newest_schema
from hpo.database.trial_columns import last_ranges
from hpo.process.collector import uncollected


def everything(database) -> str:
    """A study with each kind of value, state and distribution that Optuna knows; returns its name."""

    def objective(trial):
        trial.suggest_float("x", 1e-3, 1, log=True)
        trial.suggest_categorical("c", [None, True, 1, 2.5, "a"])
        if trial.number % 2:
            trial.suggest_int("n", 0, 10, step=2)
        trial.set_user_attr("list", [1, {"a": None}])
        for step, score in enumerate([0.5, float("nan"), float("inf"), -float("inf")]):
            trial.report(score, step)
        match trial.number:
            case 2:
                raise optuna.TrialPruned
            case 3:
                raise ValueError
            case 4:
                return float("inf")
            case 5:
                return -float("inf")
        return trial.number / 3

    study = optuna.create_study(study_name="theirs", storage=database.storage, direction="maximize")
    study.optimize(objective, n_trials=7, catch=(ValueError,))
    study.enqueue_trial({"x": 0.5})
    study.ask()
    study.enqueue_trial({"x": 0.25})
    return study.study_name


def optuna_reads(name, url):
    with opened_by_optuna(name, url) as study:
        return study.get_trials(deepcopy=False)


def same(trial) -> dict:
    return {name: repr(value) for name, value in vars(trial).items()} | {"params": sorted(trial.params)}


def test_what_is_read_in_columns_is_what_optuna_reads(database):
    name = everything(database)
    study_id = database.study_id(name)
    read, expected = database.optuna_trials(study_id), optuna_reads(name, database.url)
    assert list(map(same, read)) == list(map(same, expected))
    assert {trial.state for trial in read} == set(TrialState)
    assert same(database.trial(name, 3)) == same(expected[3])
    assert database.trial(name, 99) is None
    assert database.best_trial(study_id).number == 4
    pruned = database.optuna_trials(study_id, records.trials.c.state == TrialState.PRUNED)
    assert [trial.number for trial in pruned] == [2]
    light = database.optuna_trials(study_id, attributes=(), has_params=False, has_folds=False)
    assert [(t.number, t.value, t.params, t.user_attrs) for t in light] == [(t.number, t.value, {}, {}) for t in read]


def test_the_dashboards_trials_are_optunas_while_they_change_and_after_the_study_is_another(database):
    study = optuna.create_study(study_name="s", storage=database.storage, direction="maximize")
    browsed = BrowsedStorage(database.storage, writable=False, note=lambda study_id: "")
    study_id = database.study_id("s")

    def check():
        found = browsed.get_all_trials(study_id, deepcopy=False)
        assert list(map(same, found)) == list(map(same, optuna_reads("s", database.url)))

    check()
    first, second = study.ask(), study.ask()
    first.suggest_float("x", 0, 1)
    check()
    study.tell(second, 2.0)
    check()
    first.suggest_int("n", 0, 3)
    study.tell(first, 1.0)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    check()
    assert [t.number for t in browsed.get_all_trials(study_id, states=(TrialState.COMPLETE,))] == [0, 1, 2, 3, 4]
    optuna.delete_study(study_name="s", storage=database.storage)
    assert browsed.get_all_trials(study_id) == []
    study = optuna.create_study(study_name="s", storage=database.storage)  # SQLite gives the id again
    study.optimize(lambda trial: trial.suggest_float("y", 0, 1), n_trials=2)
    check()


def test_the_last_range_of_each_hyperparameter_is_found(database):
    study_id = database.study_id(everything(database))
    ranges = {name: d for trial in database.optuna_trials(study_id) for name, d in trial.distributions.items()}
    assert database.ask(lambda connection: last_ranges(connection, study_id)) == ranges


def test_the_best_trials_and_the_seconds_are_those_of_the_table(database):
    run = hpo.run(tree_study(), sampler="random", trials=8, database=database, progress="none")
    values = {0: None, 1: 1.0, 2: 1.0, 3: float("-inf"), 4: float("inf"), 6: None}  # of all, 5 and 7 have another
    ids = {trial.number: trial._trial_id for trial in database.optuna_trials(run.study_id)}
    with database.engine.begin() as connection:
        for number, value in values.items():
            here = records.trial_values.c.trial_id == ids[number]
            stored, kind = models.TrialValueModel.value_to_stored_repr(0.0 if value is None else value)
            connection.execute(records.trial_values.update().where(here).values(value=stored, value_type=kind))
            if value is None:
                failed = records.trials.update().where(records.trials.c.trial_id == ids[number])
                connection.execute(failed.values(state=TrialState.FAIL))
    best = [trial.number for trial in run.best_trials(8)]
    others = sorted((5, 7), key=lambda number: -run.trial(number).value)
    assert best == [4, *sorted([1, 2, *others], key=lambda n: -run.trial(n).value), 3, 0, 6]
    assert [trial.number for trial in run.best_trials(2)] == best[:2]
    assert run.best.number == 4
    table = run.trials
    assert run.seconds == {name: pytest.approx(table[name].sum()) for name in run.seconds}


@pytest.mark.parametrize("page", ["", "/param_importances"])
def test_the_dashboards_pages_of_a_run_are_made_without_optunas_objects(database, page):
    run = hpo.run(tree_study(space=FLAT), sampler="random", trials=12, database=database, progress="none")
    browser = Browser(database, writable=False)
    request = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/api/studies/{run.study_id}{page}", "QUERY_STRING": ""}
    with mock.patch.object(RDBStorage, "get_all_trials", side_effect=AssertionError("every row is an object")):
        status, _, body = collect(browser, request)
    assert status == "200 OK"
    assert b"max_depth" in body
    browser.close()


def test_the_newest_schema_is_known_without_alembic(database):
    assert has_newest_schema(database.engine)
    with optunas(database.url) as storage:
        assert storage.get_head_version() == database.storage.get_head_version()
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v3.0.0.d'")
    assert not has_newest_schema(database.engine)
    with pytest.raises(hpo.UnusableDatabase, match="optuna storage upgrade"):
        hpo.StudyDatabase(database.path)


@pytest.mark.parametrize("sampler", ["random", "grid", "qmc", "tpe"])
def test_a_run_that_is_read_in_part_goes_on_as_if_it_had_not_stopped(sampler, database, tmp_path):
    options = {"sampler": sampler, "progress": "none"}
    for n in (3, 7, 12):
        parts = hpo.run(tree_study(), trials=n, database=database, **options)
    with hpo.StudyDatabase(tmp_path / "whole.db") as other:
        whole = hpo.run(tree_study(), trials=12, database=other, **options)
        columns = [name for name in whole.trials if name.startswith("params_")] + ["value", "number"]
        assert parts.trials[columns].to_dict("list").__repr__() == whole.trials[columns].to_dict("list").__repr__()
        assert parts.best.number == whole.best.number


def test_the_collector_is_on_again_once_no_thread_reads():
    together = Barrier(3)

    def reading(_):
        with uncollected(), uncollected():
            together.wait(60)
            return gc.isenabled()

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(reading, range(3))) == [False] * 3
    assert gc.isenabled()
    with pytest.raises(ValueError, match="unreadable"), uncollected():
        raise ValueError("unreadable")
    assert gc.isenabled()


def test_the_collector_stays_off_where_it_was_off():
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


ROWS = [
    ["a/b/split0-seed0", "done", "0.25", ""],
    ["\u6f22\u5b57/e\u0301", "", "-3", "1"],
    ["[bold]x", "done (patience)", "", ""],
]


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], []])
@pytest.mark.parametrize("n_left", [0, 2, 4])
def test_a_table_without_colours_is_what_rich_draws(rows, n_left):
    header = ["run", "state", "best", "seconds"]
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(header):
        drawn.add_column(Text(name), justify="left" if i < n_left else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*map(Text, row))
    page = io.StringIO()
    Console(highlight=False, width=200, file=page).print(drawn)
    assert f"{plain_table(header, rows, n_left, 200)}\n" == page.getvalue()


@pytest.mark.parametrize("cell", ["a\nb", "a\tb", " a", "a" * 200, "\x1b[1m"])
def test_a_table_that_rich_would_break_is_left_to_it(cell):
    assert plain_table(["run"], [[cell]], 1, 200) is None


@pytest.mark.parametrize(("planted", "seconds"), [('"a text"', 0.0), ("NaN", 0.0), ("Infinity", 0.0), ("2.5e1", 25.0)])
def test_what_a_trial_took_is_a_number_whatever_was_written_there(database, planted, seconds):
    run = hpo.run(tree_study(), sampler="random", trials=2, database=database, progress="none")
    with database.engine.begin() as connection:
        own = (records.trial_attributes.c.key.in_(["fit_seconds", "score_seconds"])) & (
            records.trial_attributes.c.trial_id == database.trial(str(run.name), 1)._trial_id
        )
        connection.execute(records.trial_attributes.update().where(own).values(value_json=planted))
    (found,) = (trial for trial in database.timed_trials(str(run.name)) if trial.number == 1)
    assert found.seconds == 2 * seconds


def test_a_run_whose_trials_all_failed_has_no_best(database):
    run = hpo.run(tree_study(), sampler="random", trials=2, database=database, progress="none")
    with database.engine.begin() as connection:
        connection.execute(records.trials.update().values(state=TrialState.FAIL))
    assert database.best_trial(run.study_id) is None
