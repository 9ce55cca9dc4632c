"""The dashboard, as the command starts it: on this machine, and changing nothing unless asked."""

import json
import re
import socket
import urllib.error
import urllib.parse
import urllib.request

import pytest
from conftest import tree_study
from served import Served

import hpo
from hpo.dashboard import guards
from hpo.dashboard.server import HOST, Dashboard


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
    assert b'[aria-label="delete study"]' in page
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
        assert b"delete study" not in dashboard.ask("/dashboard/")[1]  # its buttons are not hidden
        assert dashboard.ask("/api/studies/1", "DELETE")[0] == 204
        assert made.database.runs()["run"].tolist() == [str(made.name)]
    finally:
        dashboard.end()


def test_a_free_port_is_found_when_the_usual_one_is_taken(run, monkeypatch):
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("hpo.dashboard.server.PORT", port)
        other = Dashboard(run.database)
        assert other.port != port
        other.close()
        with pytest.raises(hpo.InvalidOption, match=f"port {port} cannot be used"):
            Dashboard(run.database, port=port)


# --- attacks ---


def headers_of(app, path="/", method="GET", **environ):
    """Status and headers of a guarded app's answer."""
    found = []
    given = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": "", "HTTP_HOST": "localhost:8080", **environ}
    body = b"".join(app(given, lambda status, headers, *_: found.append((status, headers))))
    status, headers = found[0]
    return int(status[:3]), headers, body


def plain(environ, start_response):
    """An app that answers with a page."""
    start_response("200 OK", [("Content-Type", "text/html"), ("Access-Control-Allow-Origin", "*"), ("Server", "x")])
    return [b"<script>alert(1)</script>"]


def test_a_page_elsewhere_that_rebinds_its_name_is_refused():
    guarded = guards.only_hosts(plain, {"127.0.0.1", "localhost", "::1"})
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080", "localhost."):
        assert headers_of(guarded, HTTP_HOST=host)[0] == 200, host
    for host in (
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io:8080",
        "",
        "localhost@evil",
        "[::2]",
        "a b",
    ):
        assert headers_of(guarded, HTTP_HOST=host)[0] == 403, host


def test_a_form_on_another_page_changes_nothing():
    guarded = guards.only_hosts(plain, {"localhost"})
    assert headers_of(guarded, method="POST", HTTP_ORIGIN="http://evil.example")[0] == 403
    assert headers_of(guarded, method="POST", HTTP_ORIGIN="null")[0] == 403
    assert headers_of(guarded, method="DELETE", HTTP_SEC_FETCH_SITE="cross-site")[0] == 403
    assert headers_of(guarded, method="POST", HTTP_ORIGIN="http://localhost:8080")[0] == 200
    assert headers_of(guarded, method="POST")[0] == 200  # a program


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "get", "TRACE"])
def test_only_reading_is_let_through(method):
    status, headers, _ = headers_of(guards.read_only(plain), method=method)
    assert status == 405
    assert ("Allow", "GET, HEAD") in headers


def test_an_attached_file_has_no_rights_of_the_page():
    guarded = guards.with_headers(plain)
    for path in ("/artifacts/1/2/x", "//artifacts/1", "/ARTIFACTS/1/2/x"):
        headers = dict(headers_of(guarded, path)[1])
        assert "sandbox" in headers["Content-Security-Policy"]
        assert headers["Content-Disposition"] == "attachment"
        assert "Access-Control-Allow-Origin" not in headers
    headers = dict(headers_of(guarded)[1])
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert (headers["X-Content-Type-Options"], headers["X-Frame-Options"]) == ("nosniff", "DENY")
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Server" not in headers


TOKEN = "a-token-of-some-length"


def test_a_token_is_asked_for_and_kept_in_a_cookie():
    guarded = guards.with_token(plain, TOKEN, "seen")
    status, headers, _ = headers_of(guarded)
    assert status == 401
    assert ("WWW-Authenticate", "Bearer") in headers
    for wrong in ("token=", "token=a-token", f"token={TOKEN}x", f"tokens={TOKEN}"):
        assert headers_of(guarded, QUERY_STRING=wrong)[0] == 401
    status, headers, body = headers_of(guarded, "/dashboard/", QUERY_STRING=f"token={TOKEN}&ids=1")
    assert status == 200
    cookie = dict(headers)["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN.encode() not in body
    assert b"url=/dashboard/?ids=1" in body
    assert headers_of(guarded, HTTP_COOKIE=cookie.partition(";")[0])[0] == 200
    assert headers_of(guarded, HTTP_COOKIE="seen=wrong; x")[0] == 401
    assert headers_of(guarded, HTTP_AUTHORIZATION=f"Bearer {TOKEN}")[0] == 200
    assert headers_of(guarded, HTTP_AUTHORIZATION=f"Basic {TOKEN}")[0] == 401


def test_the_page_after_the_token_leads_nowhere_else():
    guarded = guards.with_token(plain, TOKEN, "seen")
    for path in ("//evil.example/x", "/\\evil.example", '/"><script>alert(1)</script>', "/%0d%0aSet-Cookie: x=1"):
        _, headers, body = headers_of(guarded, path, QUERY_STRING=f"token={TOKEN}")
        target = re.search(r'url=([^"]*)"', body.decode())[1]
        assert target.startswith("/")
        assert target[1:2] not in ("/", "\\")
        assert b"<script>" not in body
        assert len([name for name, _ in headers if name == "Set-Cookie"]) == 1


@pytest.mark.parametrize("token", ["short", "with spaces in it, though long", "ümlaut-and-long-enough"])
def test_a_token_that_can_be_guessed_or_not_be_written_is_refused(run, token):
    with pytest.raises(hpo.InvalidOption, match="--token: give 16 or more"):
        Dashboard(run.database, token=token)


def test_beyond_this_machine_there_is_always_a_token(run):
    outside = Dashboard(run.database, host="0.0.0.0", port=0)
    inside = Dashboard(run.database, port=0)
    chosen = Dashboard(run.database, port=0, token=TOKEN)
    try:
        assert chosen.token == TOKEN
        assert len(outside.token) >= 32
        assert outside.url.endswith(f"/?token={outside.token}")
        assert "0.0.0.0" not in outside.url
        assert inside.token is None
    finally:
        outside.close()
        inside.close()
        chosen.close()
    with pytest.raises(hpo.InvalidOption, match="is not a name or address of this machine"):
        Dashboard(run.database, host="no.such.host.invalid")


# --- an empty or missing database ---


def test_without_a_database_it_says_what_to_run_and_shows_the_first_run_when_there_is_one(tmp_path):
    served = Served(tmp_path / "later.db", "--port", "0")
    try:
        status, page = served.ask("/")
        assert status == 200
        assert b"hpo compare breast-cancer-svm --quick" in page
        assert not (tmp_path / "later.db").exists()
        assert served.ask("/api/studies")[0] == 503
        made = hpo.run(tree_study(), sampler="random", trials=2, database=tmp_path / "later.db", progress="none")
        assert b'id="dashboard"' in served.ask("/dashboard/")[1]
        assert str(made.name).encode() in served.ask("/api/studies")[1]
        made.database.close()
        for path in tmp_path.glob("later.db*"):
            path.unlink() if path.is_file() else None
        assert b"Nothing to see yet" in served.ask("/")[1]
    finally:
        _, err = served.end()
    assert "Traceback" not in err


# --- what it adds to optuna-dashboard's answers ---


def study_of(served, run):
    studies = json.loads(served.ask("/api/studies")[1])["study_summaries"]
    return next(study["study_id"] for study in studies if study["study_name"] == str(run))


def test_a_runs_note_leads_to_its_comparison_and_says_what_was_chosen_and_learned(served, run):
    detail = json.loads(served.ask(f"/api/studies/{study_of(served, run.name)}")[1])
    note = detail["note"]["body"]
    assert note.startswith("**[Compare samplers on iris\\-tree](/comparison/iris-tree)**")
    best = run.best
    for name in best.params:
        assert name.replace("_", "\\_") in note
    for said in ("on training rows", "of the reference", "model parameters, learned in training", "cost of this trial"):
        assert said in note


def test_new_trials_are_seen_at_once_and_a_zero_is_not_lost(tmp_path):
    definition = tree_study("zero-tree", space={"min_impurity_decrease": hpo.Float(0.0, 0.2, grid=[0.0, 0.1, 0.2])})
    path = tmp_path / "x.db"
    first = hpo.run(definition, sampler="grid", trials=2, database=path, progress="none")
    served = Served(path, "--port", "0")
    try:
        number = study_of(served, first.name)

        def internal():
            trials = json.loads(served.ask(f"/api/studies/{number}")[1])["trials"]
            return [trial["params"][0]["param_internal_value"] for trial in trials]

        assert len(internal()) == 2
        hpo.run(definition, sampler="grid", database=path, progress="none")
        found = internal()
        assert len(found) == 3
        assert all(value for value in found)  # JavaScript's || sees no false one
        assert sorted(found) == pytest.approx([0.0, 0.1, 0.2])
    finally:
        served.end()


def test_names_are_escaped_everywhere(tmp_path):
    name = "a <b>\"quoted\" 'größe' & c"
    definition = tree_study(name, space={"max_depth": hpo.Int(1, 3)})
    path = tmp_path / "x.db"
    hpo.compare(
        definition, samplers=["random", "grid"], repetitions=2, trials=3, database=path, workers=1, progress="none",
        open_test=False,
    )  # fmt: skip
    served = Served(path, "--port", "0")
    try:
        for address in ("/comparison/", "/comparison/" + urllib.parse.quote(name, safe="")):
            status, page = served.ask(address)
            assert status == 200
            assert b"<b>" not in page.replace(b"<b>\n", b"")
            assert "größe".encode() in page
        assert served.ask("/comparison/nosuch")[0] == 404
        assert b"<script>" not in served.ask("/comparison/%3Cscript%3E")[1]
        detail = served.ask(f"/api/studies/{study_of(served, f'{name}/random/split0-seed0')}")[1]
        assert "<b>" not in json.loads(detail)["note"]["body"].replace("\\<b\\>", "")
    finally:
        served.end()
