"""Small real studies that most tests share."""

import contextlib
import shutil
import signal
import sys
import threading
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from selenium import webdriver
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo import Categorical, CrossValidation, Float, Int, SearchSpace, StudyDefinition
from hpo.process.interrupts import Interrupts

FLAT = {
    "ccp_alpha": Float(1e-4, 1e-1, log=True),
    "max_depth": Int(1, 8),
    "min_samples_leaf": Int(1, 40, log=True),
    "criterion": Categorical(["gini", "entropy", "log_loss"]),
}
CONDITIONAL = {
    **FLAT,
    "splitter": Categorical(["best", "random"]),
    "max_features": Float(0.2, 1.0, when={"splitter": "random"}),
    "min_impurity_decrease": Float(1e-6, 1e-1, log=True, when={"criterion": ["gini", "entropy"]}),
}


def tree_study(name: str = "iris-tree", **changes) -> StudyDefinition:
    """A decision tree on iris; every fit takes about a millisecond."""
    given = {
        "data": load_iris,
        "estimator": DecisionTreeClassifier(),
        "space": SearchSpace(CONDITIONAL),
        "metric": "neg_brier_score",
        "split": CrossValidation(folds=2, test=0.2),
        **changes,
    }
    return StudyDefinition(name=name, **given)


@pytest.fixture(autouse=True)
def own_signals_are_given_back():
    """A command owns its process, its signals too; here the process is that of all tests."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    state = {name: value for name, value in vars(Interrupts).items() if not name.startswith("__")}
    unraisablehook = sys.unraisablehook
    yield
    sys.unraisablehook = unraisablehook
    for name, value in state.items():
        setattr(Interrupts, name, value)
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.fixture
def tree() -> StudyDefinition:
    return tree_study()


@pytest.fixture
def database(tmp_path: Path):
    with hpo.StudyDatabase(tmp_path / "study.db") as opened:
        yield opened


@contextlib.contextmanager
def optunas(url: str):
    """Optuna's own storage on a database, closed again: a connection that is left open is an error of a later test."""
    storage = RDBStorage(url)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextlib.contextmanager
def opened_by_optuna(name: str, url: str):
    """A run as Optuna itself opens it, and closed again."""
    with optunas(url) as storage:
        yield optuna.load_study(study_name=name, storage=storage)


TIMES = {"started", "finished", "fit_seconds", "score_seconds", "predict_seconds", "sampler_seconds", "peak_memory_mb"}


def same_trials(frame):
    """A run's trials without what the clock decides, ready to be compared."""
    kept = frame.drop(columns=[*TIMES & set(frame.columns)]).sort_index(axis="columns").astype(object)
    return kept.where(kept.notna(), None).to_dict("records")


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium without any state, driven through its own driver; nothing is downloaded for it."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs Chromium or Chrome and its chromedriver on the PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    opened.set_script_timeout(300)
    yield opened
    opened.quit()
