"""The dashboard among strangers: half-open requests, other applications' cookies, spreadsheets that run formulas."""

import contextlib
import csv
import io
import socket
import threading
import urllib.parse
import urllib.request

import pandas as pd
import pytest
from conftest import tree_study

import hpo
from hpo.cli.text import write_frame
from hpo.dashboard.server import Dashboard
from hpo.database.safe_csv import safe_cell, safe_csv

TOKEN = "0123456789abcdef0123"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("guarded") / "study.db"
    space = {"ccp_alpha": hpo.Float(1e-4, 0.1), "criterion": hpo.Categorical({"=cmd()": "gini", "@x": "entropy"})}
    made = hpo.run(tree_study(space=space), sampler="random", trials=4, database=path, progress="none")
    yield made
    made.database.close()


@contextlib.contextmanager
def serving(run, **options):
    dashboard = Dashboard(run.database.path, port=0, **options)
    thread = threading.Thread(target=dashboard.serve, daemon=True)
    thread.start()
    try:
        yield dashboard.url
    finally:
        dashboard.close()


def ask(url: str, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
        return answer.read()


def test_it_answers_beside_five_hundred_half_open_requests(run):
    with serving(run) as url, contextlib.ExitStack() as stack:
        place = urllib.parse.urlsplit(url)
        ask(f"{url}api/studies")
        for i in range(500):
            half = stack.enter_context(socket.create_connection((place.hostname, place.port), timeout=60))
            if i % 3:  # no word at all, half a line, half the headers, half a body
                half.sendall([b"", b"GET /api", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx"][i % 3])
        for _ in range(5):
            assert b"study_summaries" in ask(f"{url}api/studies")


def test_readers_that_never_read_keep_nobody_out(run):
    with serving(run) as url, contextlib.ExitStack() as stack:
        place = urllib.parse.urlsplit(url)
        for _ in range(40):
            slow = stack.enter_context(socket.create_connection((place.hostname, place.port), timeout=60))
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            slow.sendall(f"GET /static/bundle.js HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
        assert b"study_summaries" in ask(f"{url}api/studies")


@pytest.mark.parametrize("others", ['a="b c"; ', "a=[1,2]; ", 'state={"a": 1}; ', "x y=1; ", "=; ", "é=ü; ", ""])
def test_cookies_of_other_applications_do_not_hide_the_token(run, others):
    with serving(run, token=TOKEN) as url:
        port = urllib.parse.urlsplit(url).port
        plain = url.partition("?")[0]
        cookies = f"{others}hpo_dashboard_{port}={TOKEN}; {others}z=1".encode().decode("latin-1")
        assert b"study_summaries" in ask(f"{plain}api/studies", Cookie=cookies)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(f"{plain}api/studies", Cookie=f"{others}hpo_dashboard_{port}={TOKEN[:-1]}x".encode().decode("latin-1"))


@pytest.mark.parametrize("path", ["static/bundle.js", "favicon.ico"])
def test_a_file_is_given_to_who_names_no_encoding(run, path):
    with serving(run) as url:
        place = urllib.parse.urlsplit(url)
        with socket.create_connection((place.hostname, place.port), timeout=60) as bare:
            bare.sendall(f"GET /{path} HTTP/1.0\r\nHost: {place.netloc}\r\n\r\n".encode())
            assert bare.makefile("rb").readline().split()[1] == b"200"


def test_a_spreadsheet_runs_no_cell(run, tmp_path):
    texts = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "-0.5", "+3", "1e-3", "text", "a=b", "-inf", ""]
    expected = ["'=1+1", "'+cmd|' /C calc'!A0", "'-2+3", "'@SUM(A1)", "'\t=1", *texts[5:]]
    assert [safe_cell(text) for text in texts] == expected
    assert safe_cell(-1.5) == -1.5
    (row,) = csv.reader(io.StringIO(safe_csv('"=1+1","a,b",-2.5\r\n')))
    assert row == ["'=1+1", "a,b", "-2.5"]
    write_frame(pd.DataFrame({"=n": [-1.5, 2.0], "t": ["=1", None], "m": ["@a", -3]}), str(tmp_path / "x.csv"))
    assert (tmp_path / "x.csv").read_text() == "'=n,t,m\n-1.5,'=1,'@a\n2.0,,-3\n"
    with serving(run) as url:
        found = ask(f"{url}csv/{run.study_id}").decode()
    rows = list(csv.DictReader(io.StringIO(found)))
    assert {row["Param criterion"] for row in rows} <= {"'=cmd()", "'@x"}
    assert all(float(row["UserAttribute train_score"]) >= 0 for row in rows)  # an error, positive as it is shown
