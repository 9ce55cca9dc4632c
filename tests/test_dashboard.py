"""The dashboard serves the study database on this machine, and changes nothing unless asked."""

import json
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest

import hpo
from hpo.dashboard import Dashboard


@pytest.fixture
def served(database, tree):
    run = hpo.run(tree, sampler="random", trials=5, database=database, progress="none")
    opened = []

    def serve(**options) -> Dashboard:
        dashboard = Dashboard(database, **options)
        thread = threading.Thread(target=dashboard.serve, daemon=True)
        thread.start()
        opened.append(dashboard)
        return dashboard

    serve.run = run
    yield serve
    for dashboard in opened:
        dashboard.close()


def ask(dashboard: Dashboard, path: str, method: str = "GET", host: str | None = None, body: bytes | None = None):
    headers = {"Content-Type": "application/json"} | ({"Host": host} if host else {})
    request = urllib.request.Request(f"http://127.0.0.1:{dashboard.port}{path}", body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_every_run_and_trial_is_there(served):
    dashboard = served(port=0)
    status, page = ask(dashboard, "/dashboard/")
    assert status == 200
    assert b"<html" in page
    studies = json.loads(ask(dashboard, "/api/studies")[1])["study_summaries"]
    assert {study["study_name"] for study in studies} == {str(served.run.name), "iris-tree/reference/split0-seed0"}
    number = next(study["study_id"] for study in studies if study["study_name"] == str(served.run.name))
    detail = json.loads(ask(dashboard, f"/api/studies/{number}")[1])
    assert len(detail["trials"]) == 5
    assert {"train_score", "fit_seconds"} <= {attribute["key"] for attribute in detail["trials"][0]["user_attrs"]}
    assert len(detail["trials"][0]["intermediate_values"]) == 2


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/studies"), ("DELETE", "/api/studies/1"), ("PUT", "/api/studies/1/note")]
)
def test_nothing_can_be_changed(served, method, path):
    dashboard = served(port=0)
    before = served.run.database.runs()["run"].tolist()
    status, answer = ask(dashboard, path, method, body=b'{"study_name": "x", "directions": ["minimize"]}')
    assert status == 405
    assert b"--writable" in answer
    assert served.run.database.runs()["run"].tolist() == before


def test_writable_lets_the_browser_change_it(served):
    dashboard = served(port=0, writable=True)
    assert ask(dashboard, "/api/studies/1", "DELETE")[0] == 204
    assert served.run.database.runs()["run"].tolist() == [str(served.run.name)]


def test_another_host_name_is_refused(served):
    dashboard = served(port=0)
    assert ask(dashboard, "/api/studies", host="evil.example")[0] == 403
    assert ask(dashboard, "/api/studies", host=f"localhost:{dashboard.port}")[0] == 200


def test_a_free_port_is_found_when_the_usual_one_is_taken(served, monkeypatch):
    first = served(port=0)
    monkeypatch.setattr("hpo.dashboard.PORT", first.port)
    assert served().port != first.port
    with pytest.raises(hpo.InvalidOption, match=f"port {first.port} cannot be used"):
        served(port=first.port)


@pytest.mark.slow
def test_the_command_says_its_address_and_ends_on_ctrl_c(served):
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "hpo", "dashboard", "--database", str(served.run.database.path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    line = process.stdout.readline()
    address = re.search(r"http://127\.0\.0\.1:\d+/dashboard/", line)[0]
    with urllib.request.urlopen(address, timeout=30) as response:
        assert response.status == 200
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert "ended" in out
