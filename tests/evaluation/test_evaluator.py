"""Fits that do what they like to their process: real ones, killed for certain, and the next trial does not notice."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from conftest import same_trials, tree_study
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo import Categorical, CrossValidation
from hpo.evaluation.child_process import Evaluator, Request
from hpo.evaluation.engine import Unit
from hpo.study.publication import Publication

pytestmark = pytest.mark.slow

SIGN = "sign-of-a-fit"  # file that a fit writes its process into


class Outlaw(DecisionTreeClassifier):
    """Does what its ``kind`` says to its process."""

    def __init__(self, kind="none", folder="."):
        super().__init__()
        self.kind, self.folder = kind, folder

    def fit(self, X, y):
        match self.kind:
            case "closes":
                os.closerange(0, 256)
                time.sleep(1000)
            case "garbles":
                for descriptor in range(256):
                    with contextlib.suppress(OSError):
                        os.write(descriptor, b"(lp0\nI1\n." * 100)
                time.sleep(1000)
            case "daemon":
                if os.fork():
                    os._exit(0)
                os.setsid()
                self.sign()
                time.sleep(1000)
            case "deaf":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                subprocess.Popen(["sleep", "1000"], start_new_session=True)
                self.sign()
                time.sleep(1000)
            case "twice":
                os.fork()
        return super().fit(X, y)

    def sign(self):
        with open(os.path.join(self.folder, SIGN), "a") as file:
            file.write(f"{os.getpid()}\n")


def study_of(kinds, folder):
    def build(params):
        return Outlaw(params["kind"], str(folder))

    return tree_study(
        "outlaws", estimator=build, space={"kind": Categorical(kinds)}, reference={"kind": "none"},
        metric="accuracy", split=CrossValidation(folds=2),
    )  # fmt: skip


KINDS = {
    "closes": "the end of its answers, closed or garbled",
    "garbles": "the end of its answers, closed or garbled",
    "daemon": "exit code 0",
    "deaf": None,
    "twice": None,
}


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("kind", KINDS)
def test_an_outlaw_is_killed_with_all_that_it_started_and_the_next_is_evaluated(kind, tmp_path):
    study = study_of(["none", kind], tmp_path)
    published = Publication(study, hpo.Data(*load_iris(return_X_y=True)), "ab" * 32)
    evaluator, next_one = Evaluator(1), None
    try:
        unit = Unit("outlaws", 0, 0, {"kind": kind}, (0, 1), 3.0)
        result = evaluator.evaluate(Request(unit, str(published.path)))
        if kind == "deaf":
            assert result.folds[0].error.startswith("TrialTimeout: not done after 3")
        elif kind == "twice":
            assert [fold.error for fold in result.folds] == [None, None]
        else:
            assert (result.died, result.folds) == (KINDS[kind], ())
        next_one = evaluator if evaluator.is_alive else Evaluator(1)
        sound = next_one.evaluate(Request(Unit("outlaws", 1, 0, {"kind": "none"}, (0, 1)), str(published.path)))
        assert [fold.error for fold in sound.folds] == [None, None]
    finally:
        evaluator.kill()
        if next_one is not None:
            next_one.kill()
        published.close()
    with contextlib.suppress(FileNotFoundError):
        for pid in (tmp_path / SIGN).read_text().split():
            assert not is_running(int(pid))
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "1000"]]


SCRIPT = """
import asyncio, ctypes, os, sys, hpo
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

class Silent(BaseException):
    def __str__(self):
        raise KeyboardInterrupt

class Raising(DecisionTreeClassifier):
    def fit(self, X, y):
        match self.max_depth:
            case 2:
                raise KeyboardInterrupt("its own")
            case 3:
                raise GeneratorExit
            case 4:
                raise asyncio.CancelledError
            case 5:
                raise Silent
            case 6:
                raise ValueError("\\ud83d \\0")
            case 7:
                os._exit(0)
            case 8 if {c_exits}:
                ctypes.CDLL(None)._exit(0)
        return super().fit(X, y)

study = hpo.StudyDefinition(name='raising', data=load_iris, estimator=Raising(), reference={{"max_depth": 1}},
    space={{'max_depth': hpo.Int(1, 9, grid=9)}}, metric='accuracy', split=hpo.CrossValidation(folds=2))
hpo.main(study) if __name__ == '__main__' else None
"""
ERRORS = {
    2: "KeyboardInterrupt: its own",
    3: "GeneratorExit:",
    4: "CancelledError:",
    5: "Silent: its message cannot be shown (KeyboardInterrupt)",
    6: "ValueError: \\ud83d \\x00",
    7: "WorkerDied: 3 workers died of it, the last by exit code 0",
}


def carry_out(script, database, *options):
    command = [sys.executable, str(script), "--sampler", "grid", "--database", str(database), *options]
    return subprocess.run(command, capture_output=True, timeout=300, text=True)


def test_whatever_a_fit_raises_is_one_failure_for_any_number_of_workers(tmp_path):
    script = tmp_path / "raising.py"
    script.write_text(SCRIPT.format(c_exits=False))
    found = []
    for workers in ("1", "2"):
        path = tmp_path / f"{workers}.db"
        ended = carry_out(script, path, "--workers", workers)
        assert ended.returncode == 0, ended.stderr
        with hpo.StudyDatabase(path) as database:
            trials = database.trials("raising/grid/split0-seed0")
        errors = trials.set_index("params_max_depth")["error"].dropna()
        assert {depth: error.strip() for depth, error in errors.items()} == ERRORS
        found.append(same_trials(trials.drop(columns="traceback")))  # which goes through other frames
    assert found[0] == found[1]


def test_a_process_that_ended_in_silence_is_noticed_when_the_run_is_resumed(tmp_path):
    script = tmp_path / "raising.py"
    script.write_text(SCRIPT.format(c_exits=True))
    carry_out(script, tmp_path / "x.db")  # ends with 0: nothing of ours is left that could say otherwise
    again = carry_out(script, tmp_path / "x.db")
    assert again.returncode == 0, again.stderr
    assert "who recorded it last ended abruptly" in again.stderr
    with hpo.StudyDatabase(tmp_path / "x.db") as database:
        errors = database.trials("raising/grid/split0-seed0").set_index("params_max_depth")["error"]
    assert errors[8] == ERRORS[7]
    assert len(errors) == 9


def test_an_evaluator_whose_parent_is_gone_says_nothing():
    """A parent that is stopped while the child answers closes both pipes: the one that is read first may not matter."""
    child = subprocess.Popen(
        [sys.executable, "-c", "from hpo.evaluation.child_process import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    child.stdout.close()  # its first answer finds nobody; its standard input stays open
    assert (child.wait(60), child.stderr.read()) == (0, "")
    child.stderr.close()
    child.stdin.close()
