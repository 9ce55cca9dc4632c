"""optuna-dashboard and the comparisons of one database, as one site."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

import optuna_dashboard
import sqlalchemy as sa

from hpo.analysis.importance import Importances, importances_in
from hpo.dashboard.cache import Answers, Changes, collect, with_insertion
from hpo.dashboard.comparisons import ComparisonSite
from hpo.dashboard.guards import WSGI, Environ
from hpo.dashboard.run_note import PATH, run_note
from hpo.dashboard.storage import BrowsedStorage
from hpo.database import records as t
from hpo.database.safe_csv import safe_csv
from hpo.database.stored_runs import StoredRun
from hpo.database.study_database import StudyDatabase
from hpo.database.trial_columns import last_ranges

_IMPORTANCES = re.compile(r"/api/studies/(\d+)/param_importances")

# In the blue bar of each of optuna-dashboard's pages; its Content-Security-Policy allows styles, and no script here.
_LINK = """<nav id="hpo" aria-label="Comparisons" title="{said}"
style="position: fixed; top: 14px; right: 24px; z-index: 1250">
<a href="{path}" style="color: #0b3d63; background: #fff; border-radius: 4px; padding: 7px 12px; display: block;
font: 500 14px/22px system-ui, sans-serif; text-decoration: none">Compare samplers</a></nav>
"""
# What would change the database, by the labels and icons of optuna-dashboard 0.21: not there where nothing may.
_WRITING = (
    *(f'[aria-label="{label}"]' for label in ("rename study", "delete study", "skip trial", "delete artifact")),
    *(
        f'button:has([data-testid="{icon}Icon"])'
        for icon in ("AddBox", "UploadFile", "Edit", "ModeEdit", "Delete", "Save", "StopCircle")
    ),
)
_READ_ONLY = f"<style>{', '.join(_WRITING)} {{ display: none !important }}</style>\n"


class Browser:
    """The pages of one database.

    Args:
        database: what to show.
        writable: whether optuna-dashboard may change it.
    """

    def __init__(self, database: StudyDatabase, *, writable: bool) -> None:
        self._database = database
        self._changes = Changes(database.engine)
        self._importances: dict[int, tuple[int, Importances]] = {}  # run -> its trials then, and what decides
        self._comparisons = ComparisonSite(database, self._changes)
        storage = BrowsedStorage(database.storage, writable=writable, note=self._note)
        self._app = Answers(optuna_dashboard.wsgi(storage), self._changes)
        said = "Changes are allowed here." if writable else "Each study below is one run: a sampler on one split."
        link = (_LINK.format(path=PATH, said=said) + ("" if writable else _READ_ONLY)).encode()
        self._pages: WSGI = with_insertion(self._app, b'<div id="dashboard">', lambda: link)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        environ.setdefault("HTTP_ACCEPT_ENCODING", "identity")  # which optuna-dashboard 0.21 takes for granted
        path = environ.get("PATH_INFO", "/")
        if path.startswith("/csv/"):
            return self._csv(environ, start_response)
        if path == PATH.rstrip("/") or path.startswith(PATH):
            return self._comparisons(environ, start_response)
        asked = _IMPORTANCES.fullmatch(path)
        if asked is not None:
            answer = self._importances_page(int(asked[1]))
            if answer is not None:
                start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
                return [answer]
        if path == "/dashboard" or path.startswith("/dashboard/"):
            return self._pages(environ, start_response)
        return self._app(environ, start_response)

    def _csv(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The table of a study's trials, without cells that a spreadsheet would run."""
        status, headers, body = collect(self._app, environ)
        if status.startswith("200"):
            body = safe_csv(body.decode()).encode()
        kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
        start_response(status, [*kept, ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def is_empty(self) -> bool:
        """Whether the database has no study at all."""
        with self._database.engine.connect() as connection:
            return connection.execute(sa.select(t.studies.c.study_id).limit(1)).first() is None

    def close(self) -> None:
        """Give back the connection that looks for changes."""
        self._changes.close()

    def _note(self, study_id: int) -> str:
        """The note of a run; empty where the study is none of ours."""
        run = next((run for run in self._comparisons.runs() if run.study_id == study_id), None)
        if run is None:
            return ""
        best = None if run.best is None else self._database.best_trial(study_id)
        place = (run.name.versioned_study, "reference", run.name.split)
        reference = (
            other.best
            for other in self._comparisons.runs()
            if (other.name.versioned_study, other.name.sampler, other.name.split) == place
        )
        return run_note(run, best, next(reference, None), self._importance(run).sentence)

    def _importance(self, run: StoredRun) -> Importances:
        """What decides, computed anew when a run has more trials."""
        known = self._importances.get(run.study_id)
        if known is None or known[0] != run.n_told:
            known = run.n_told, importances_in(self._database, run.study_id)
            self._importances[run.study_id] = known
        return known[1]

    def _importances_page(self, study_id: int) -> bytes | None:
        """What optuna-dashboard's figure of importance asks for, with our numbers: one product, one answer.

        None for studies that are not runs of ours.
        """
        run = next((run for run in self._comparisons.runs() if run.study_id == study_id), None)
        if run is None:
            return None
        kinds = {name: type(d).__name__ for name, d in self._database.ask(lambda c: last_ranges(c, study_id)).items()}
        shares = [
            {"name": row["hyperparameter"], "importance": row["metric"], "distribution": kinds[row["hyperparameter"]]}
            for row in self._importance(run).rows()
            if row["metric"] == row["metric"]
        ]
        return json.dumps({"param_importances": [shares]}).encode()
