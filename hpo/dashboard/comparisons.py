"""The comparisons in the browser: an index, and for each study the report of the database as it is now."""

import hashlib
import json
import shlex
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from hpo.comparison.pages import comparison_part
from hpo.comparison.stored import Pair, Standing, read_stored, standings
from hpo.dashboard.cache import Changes, Kept
from hpo.dashboard.guards import Environ, respond
from hpo.dashboard.run_note import PATH, comparison_path
from hpo.database.stored_runs import StoredRun, read_runs
from hpo.database.study_database import StudyDatabase
from hpo.errors import HpoError
from hpo.figures.page import document, resource
from hpo.runs.origin import ORIGIN, study_words
from hpo.units import counted

_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; img-src 'self' data: blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SCRIPTS = "-/"  # below PATH; no study's name has a slash
_HEADERS = [("Content-Security-Policy", _POLICY), ("Cache-Control", "no-store")]
_MOST_KEPT = 50  # comparisons whose page is kept
_MOST_SIDE_BY_SIDE = 60  # runs; optuna-dashboard loads every one of them in whole


class ComparisonSite:
    """What is served below ``/comparison/``. Reads, and never trains anything nor opens the sealed test.

    Args:
        database: what to show.
        changes: of the database.
    """

    def __init__(self, database: StudyDatabase, changes: Changes) -> None:
        self._database = database
        self.runs = Kept(changes, self._read_runs)
        self._standings = Kept(changes, lambda: standings(self.runs()))
        self._parts: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._lock = threading.Lock()  # one comparison is computed at a time

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
        status, text, kind, headers = self._answer(path.removeprefix(PATH.rstrip("/")).lstrip("/"))
        body = respond(start_response, status, text, kind, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body

    def _answer(self, rest: str) -> tuple[str, str, str, list[tuple[str, str]]]:
        html, script = "text/html; charset=utf-8", "text/javascript; charset=utf-8"
        if rest.startswith(_SCRIPTS) and (text := _script(rest.removeprefix(_SCRIPTS))):
            return "200 OK", text, script, [("Cache-Control", "private, max-age=3600")]
        name, _, more = rest.partition("/")
        found = self._standings()
        if more == "state" or rest == "state/":  # the index has no name: its state is that of all
            state = _state([*found.values()] if rest == "state/" else [s for s in [found.get(name)] if s])
            return "200 OK", json.dumps({"state": state}), "application/json", _HEADERS
        if not rest:
            return "200 OK", self._index(found), html, _HEADERS
        if name not in found or more:
            known = "".join(f"<li>{_link(comparison_path(study), study)}</li>" for study in found)
            main = f"{_navigation()}<h1>No such comparison</h1><p>This database has the studies</p><ul>{known}</ul>"
            return "404 Not Found", document("No such comparison", main), html, _HEADERS
        return "200 OK", self._page(found[name]), html, _HEADERS

    def _read_runs(self) -> list[StoredRun]:
        with self._database.engine.connect() as connection:
            return read_runs(connection)

    # --- the index ---

    def _index(self, found: dict[str, Standing]) -> str:
        header = ["study", "samplers", "repetitions", "trials each", "trials in all", "last trial (UTC)", "state"]
        rows = []
        for study, standing in found.items():
            last = max((run.last for run in standing.runs if run.last), default=None)
            n_told = sum(run.n_told for run in standing.runs)
            samplers = standing.labels or dict.fromkeys(run.name.sampler for run in standing.runs)
            rows.append(
                [
                    _link(comparison_path(study), study),
                    escape(", ".join(samplers)),
                    f"{len(standing.complete)} of {len(standing.pairs)}" if standing.labels else "-",
                    str(standing.trials) if standing.labels else "-",
                    f"{n_told:,}",
                    "-" if last is None else f"{last:%Y-%m-%d %H:%M}",
                    "in progress" if any(run.is_held for run in standing.runs) else "",
                ]
            )
        main = _live(PATH + "state/", _state(list(found.values()))) + _navigation()
        main += "<h1>Comparisons of samplers</h1>"
        main += f'<p class="lead">In {escape(self._database.name)}; the newest trials are always counted.</p>'
        main += _table("Studies of this database", header, rows)
        return document("Comparisons of samplers", main, code=_code(has_figures=False))

    # --- a comparison ---

    def _page(self, standing: Standing) -> str:
        state = _state([standing])
        part = self._part(standing)
        main = (
            _live(comparison_path(standing.study) + "/state", state)
            + _navigation(_side_by_side(standing))
            + _progress(standing)
            + part
            + _runs(standing)
        )
        return document(f"Samplers on {standing.study}", main, code=_code(has_figures=True))

    def _part(self, standing: Standing) -> str:
        """The report, computed anew only when a repetition was completed or scored on the test."""
        title = f"<h1>Samplers on {escape(standing.study)}</h1>"
        if not standing.complete:
            return title + f'<p class="answer">{escape(_nothing_yet(standing, self._database))}</p>'
        with self._lock:
            n_scores = len(self._database.test_scores(standing.runs[0].name.study))
            ids = [run.study_id for run in _compared(standing)]
            key = _digest([standing.labels, standing.trials, standing.pairs, standing.complete, n_scores, ids])
            kept = self._parts.get(standing.study)
            if kept is not None and kept[0] == key:
                return kept[1]
            try:
                part = comparison_part(read_stored(self._database, standing))
            except HpoError as error:
                return f'{title}<p class="answer">{escape(str(error))}</p>'
            self._parts[standing.study] = key, part
            self._parts.move_to_end(standing.study)
            if len(self._parts) > _MOST_KEPT:
                self._parts.popitem(last=False)
            return part


def _script(name: str) -> str | None:
    if name == "plotly.js":
        from plotly.offline import get_plotlyjs

        return str(get_plotlyjs())
    if name == "live.js":
        return resource(name, "hpo.dashboard")
    return resource(name) if name == "page.js" else None


def _code(*, has_figures: bool) -> str:
    names = ["plotly.js", "page.js", "live.js"] if has_figures else ["live.js"]
    return "".join(f'<script src="{PATH}{_SCRIPTS}{name}"></script>\n' for name in names)


def _digest(values: Any) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def _state(found: Sequence[Standing]) -> str:
    """Another text once anything on the page would be another."""
    return _digest([(s.study, [(r.study_id, r.n_told, r.best, r.budget, r.state) for r in s.runs]) for s in found])


# --- parts of pages; whatever comes from the database is escaped ---


def _link(address: str, text: str) -> str:
    return f'<a href="{escape(address)}">{escape(text)}</a>'


def _run_link(run: StoredRun, text: str) -> str:
    return f'<a href="/dashboard/studies/{run.study_id}" title="{escape(str(run.name))}">{escape(text)}</a>'


def _live(address: str, state: str) -> str:
    """What the page's script looks at to know whether it is still up to date."""
    gone = "The dashboard was ended, or cannot be reached: this page shows what it last said."
    return f'<p id="live" class="gone" role="status" data-address="{escape(address)}" data-state="{state}">{gone}</p>\n'


def _navigation(more: str = "") -> str:
    links = _link(PATH, "All comparisons") + _link("/dashboard/", "All runs and trials in Optuna's dashboard")
    return f'<nav class="site" aria-label="Site">{links}{more}</nav>\n'


def _compared(standing: Standing) -> list[StoredRun]:
    """The runs of the complete repetitions, or of those begun where none is complete."""
    return _begun(standing, standing.complete or standing.pairs)


def _begun(standing: Standing, pairs: Iterable[Pair]) -> list[StoredRun]:
    runs = [standing.run(label, pair) for pair in pairs for label in standing.labels]
    return [run for run in runs if run is not None]


def _compare_address(runs: Iterable[StoredRun]) -> str:
    return "/dashboard/compare-studies?ids=" + quote(",".join(str(run.study_id) for run in runs), safe=",")


def _side_by_side(standing: Standing) -> str:
    runs = _compared(standing)[:_MOST_SIDE_BY_SIDE]
    return _link(_compare_address(runs), f"{counted(len(runs), 'run')} side by side there") if len(runs) > 1 else ""


def _nothing_yet(standing: Standing, database: StudyDatabase) -> str:
    if standing.labels:
        return (
            "No repetition is complete yet: the comparison appears here once every sampler has used its budget in one."
        )
    samplers = dict.fromkeys(run.name.sampler for run in standing.runs)
    last = standing.runs[-1]
    study, *where = study_words(last.name.study, last.attributes.get(ORIGIN), database)
    command = shlex.join(["hpo", "compare", study, "--samplers", "random,tpe", *where])
    return f"Nothing to compare yet: there are runs of {', '.join(samplers)} alone. {command} runs what is missing."


def _progress(standing: Standing) -> str:
    held = [run for run in standing.runs if run.is_held]
    said = []
    if held:
        shown = ", ".join(f"{_run_link(run, str(run.name))} {run.n_told} of {run.budget} trials" for run in held[:8])
        said.append(f"In progress: {shown}{', ...' if len(held) > 8 else ''}.")
    if standing.labels and len(standing.complete) < len(standing.pairs):
        said.append(f"{counted(len(standing.pairs), 'repetition')} begun, {len(standing.complete)} complete.")
    return f'<p class="progress">{" ".join(said)}</p>\n' if said else ""


def _runs(standing: Standing) -> str:
    """A table with a link to every run, and what does not take part."""
    header = ["repetition", *standing.labels, ""]
    rows = []
    for pair in standing.pairs:
        own = [standing.run(label, pair) for label in standing.labels]
        there = [run for run in own if run is not None]
        side = _link(_compare_address(there), "side by side") if len(there) > 1 else ""
        rows.append([_place(pair), *(_cell(standing, run, there) for run in own), side])
    compared = {run.study_id for run in _begun(standing, standing.pairs)}
    others = [run for run in standing.runs if run.study_id not in compared]
    listed = "".join(f"<li>{_run_link(run, str(run.name))}: {_cell(standing, run, [run])}</li>" for run in others)
    left = "".join(f"<li>{escape(reason)}</li>" for reason in standing.left_out)
    caption = f"Best {standing.metric.label} of each run; every number leads to its run"
    return (
        "<section><h2>Every run</h2>"
        + (_table(caption, header, rows) if rows else "")
        + (f"<h3>Not compared</h3><ul>{left}</ul>" if left else "")
        + (f"<h3>Other runs</h3><ul>{listed}</ul>" if listed else "")
        + "</section>\n"
    )


def _place(pair: Pair) -> str:
    return f"split {pair[0]}, seed {pair[1]}"


def _cell(standing: Standing, run: StoredRun | None, beside: Sequence[StoredRun]) -> str:
    if run is None:
        return "-"
    value = run.metric.text(run.best, beside=[other.best for other in beside])
    is_done = run.is_done(standing.trials or run.budget)
    return _run_link(run, value) + ("" if is_done else f" ({run.n_told} of {run.budget})")


def _table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>\n"
        for row in rows
    )
    name = escape(caption)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table><caption>{name}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n"
    )
