"""The dashboard, as the command starts it: on this machine, and changing nothing unless asked."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from conftest import tree_study

import hpo
from hpo.dashboard import HOST, Dashboard


class Served:
    """A dashboard in a process of its own."""

    def __init__(self, path, *options: str) -> None:
        command = [sys.executable, "-u", "-m", "hpo", "dashboard", "--database", str(path), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.line = self.process.stdout.readline()
        self.address = re.search(r"http://127\.0\.0\.1:\d+", self.line)[0]

    def ask(self, path: str, method: str = "GET", host: str | None = None, body: bytes | None = None):
        headers = {"Content-Type": "application/json"} | ({"Host": host} if host else {})
        request = urllib.request.Request(self.address + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def end(self) -> tuple[str, str]:
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=30)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("dashboard") / "study.db"
    made = hpo.run(tree_study(), sampler="random", trials=5, database=path, progress="none")
    yield made
    made.database.close()


@pytest.fixture(scope="module")
def served(run):
    dashboard = Served(run.database.path, "--port", "0")
    yield dashboard
    out, err = dashboard.end()
    assert dashboard.process.returncode == 0
    assert "ended" in out
    assert "Traceback" not in err


def test_every_run_and_trial_is_there(served, run):
    status, page = served.ask("/dashboard/")
    assert status == 200
    assert b"<html" in page
    assert "read-only" in served.line
    studies = json.loads(served.ask("/api/studies")[1])["study_summaries"]
    assert {study["study_name"] for study in studies} == {str(run.name), "iris-tree/reference/split0-seed0"}
    number = next(study["study_id"] for study in studies if study["study_name"] == str(run.name))
    detail = json.loads(served.ask(f"/api/studies/{number}")[1])
    assert len(detail["trials"]) == 5
    assert {"train_score", "fit_seconds"} <= {attribute["key"] for attribute in detail["trials"][0]["user_attrs"]}
    assert len(detail["trials"][0]["intermediate_values"]) == 2


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/studies"), ("DELETE", "/api/studies/1"), ("PUT", "/api/studies/1/note")]
)
def test_nothing_can_be_changed(served, run, method, path):
    before = run.database.runs()["run"].tolist()
    status, answer = served.ask(path, method, body=b'{"study_name": "x", "directions": ["minimize"]}')
    assert status == 405
    assert b"--writable" in answer
    assert run.database.runs()["run"].tolist() == before


def test_another_host_name_is_refused(served):
    assert served.ask("/api/studies", host="evil.example")[0] == 403
    assert served.ask("/api/studies", host=served.address.replace("http://127.0.0.1", "localhost"))[0] == 200


@pytest.mark.slow
def test_writable_lets_the_browser_change_it(tmp_path, tree):
    made = hpo.run(tree, sampler="random", trials=2, database=tmp_path / "x.db", progress="none")
    dashboard = Served(tmp_path / "x.db", "--port", "0", "--writable")
    try:
        assert dashboard.ask("/api/studies/1", "DELETE")[0] == 204
        assert made.database.runs()["run"].tolist() == [str(made.name)]
    finally:
        dashboard.end()


def test_a_free_port_is_found_when_the_usual_one_is_taken(run, monkeypatch):
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("hpo.dashboard.PORT", port)
        other = Dashboard(run.database)
        assert other.port != port
        other.close()
        with pytest.raises(hpo.InvalidOption, match=f"port {port} cannot be used"):
            Dashboard(run.database, port=port)
