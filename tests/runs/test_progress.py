"""Progress says where a run or a comparison is: a line a minute where nobody watches, redrawn where somebody does."""

import io
import os
import pty
import re
import statistics
import subprocess
import sys
import types
from pathlib import Path

import pandas as pd
import pytest
from conftest import tree_study
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import hpo
from hpo.database.run_name import RunName
from hpo.process.interrupts import ANNOUNCEMENT, Interrupts
from hpo.runs.progress import Progress
from hpo.runs.progress_counts import Stage, Stages
from hpo.units import Metric

LOSS = Metric("neg_log_loss", -1)
N_TRIALS = 10


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def named(sampler: str, repetition: int = 0) -> RunName:
    return RunName("digits", 1, sampler, repetition, repetition)


def stored(runs: dict[RunName, list[float | None]]) -> pd.DataFrame:
    """Trials as the database has them; None is a failure."""
    return pd.DataFrame(
        [
            (name.sampler, name.split, name.seed, number, "FAIL" if value is None else "COMPLETE", value)
            for name, values in runs.items()
            for number, value in enumerate(values)
        ],
        columns=["sampler", "split", "seed", "number", "state", "value"],
    ).astype({"value": float})


def plan_of(samplers=("tpe", "random"), n_repetitions: int = 3, **runs: list[list[float | None]]) -> Stages:
    """Stages of runs of N_TRIALS trials, of which the database has some: sampler -> values of each repetition."""
    names = [named(sampler, r) for r in range(n_repetitions) for sampler in samplers]
    there = {named(sampler, r): values for sampler, of in runs.items() for r, values in enumerate(of)}
    lacking = {name: N_TRIALS - len(there.get(name, [])) for name in names}
    return Stages.of_plan(names, {name: n for name, n in lacking.items() if n}, stored(there))


def seen(progress: Progress, width: int = 100, height: int = 30) -> str:
    console = Console(file=io.StringIO(), record=True, width=width, height=height, force_terminal=True)
    console.print(progress)
    return console.export_text()


@pytest.fixture
def screenless(monkeypatch):
    """Nothing is drawn by itself."""
    monkeypatch.setattr("hpo.runs.progress.open_screen", lambda draw: types.SimpleNamespace(changed=draw, close=draw))


def test_a_line_a_minute_with_incumbent_reference_rate_and_time_left(capsys):
    clock = Clock()
    with Progress("lines", LOSS, clock=clock) as progress:
        progress.begin_run(named("tpe"), n_done=10, n_total=50, best=-0.3, reference=-0.25)
        for i in range(20):
            clock.now += 6
            progress.told(named("tpe"), -0.2 if i == 3 else None, "ValueError: no" if i == 4 else None)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "digits/tpe/split0-seed0: 20/50 trials, log loss 0.2000 (reference 0.2500), 1 failed, "
        "0.17 trials/s, about 3 min left",
        "digits/tpe/split0-seed0: 30/50 trials, log loss 0.2000 (reference 0.2500), 1 failed, "
        "0.17 trials/s, about 2 min left",
    ]


@pytest.mark.parametrize("mode", ["none", "lines"])
def test_a_note_is_said_once_unless_nothing_is(capsys, mode):
    with Progress(mode, Metric("r2", 1)) as progress:
        progress.note("grid of 4 cells")
        progress.note(None)
    assert capsys.readouterr().err == ("" if mode == "none" else "grid of 4 cells\n")


def test_the_reference_is_none_of_the_trials(capsys):
    clock = Clock()
    with Progress("lines", LOSS, clock=clock) as progress:
        progress.told(named("reference"), -0.4, None)
        progress.begin_run(named("tpe"), n_done=0, n_total=2, best=None, reference=-0.4)
        clock.now += 60
        progress.told(named("tpe"), -0.2, None)
    assert "tpe/split0-seed0: 1/2 trials, log loss 0.2000 (reference 0.4000)" in capsys.readouterr().err


def begun(mode: str, plan: Stages, clock: Clock) -> Progress:
    """A comparison of which tpe's repetition 1 goes on, while its first was complete before."""
    progress = Progress(mode, LOSS, plan, clock=clock)
    stage = plan.runs[named("tpe", 1)]
    progress.begin_run(
        named("tpe", 1),
        n_done=stage.n_done,
        n_total=N_TRIALS,
        best=stage.best,
        n_failed=stage.n_failed,
        reference=-0.16,
    )
    return progress


COMPLETE = [-0.5, None, *[-0.3] * 7, -0.1]  # its best comes last
OTHER = {"tpe": [COMPLETE, [-0.4, None]], "reference": [[-0.14]]}


def test_the_medians_of_a_comparison_are_over_all_runs_that_have_an_incumbent(capsys):
    clock = Clock()
    with begun("lines", plan_of(**OTHER), clock) as progress:
        for name, value in [("tpe", -0.2), ("tpe", -0.9), ("random", None), ("random", -0.25)]:
            clock.now += 15
            progress.told(named(name, 1), value, None if value else "ValueError: no")
    assert capsys.readouterr().err.splitlines() == [
        # tpe's are 0.1 and 0.2; 16 of 60 trials are done, 4 of them in the last minute
        "digits: 16/60 trials, 3 failed; median log loss so far (lower is better): tpe 0.1500, random 0.2500 "
        "(reference 0.1500); 0.067 trials/s, about 11 min left"
    ]


def test_fast_trials_have_whole_rates_and_seconds(screenless):
    clock = Clock()
    with begun("bar", plan_of(**OTHER), clock) as progress:
        clock.now += 0.004
        progress.told(named("tpe", 1), -0.2, None)
        assert "13/60 trials, 2 failed, 250/s, 0 s left" in " ".join(seen(progress, width=80).split())


def test_what_is_drawn_of_a_comparison(screenless):
    clock = Clock()
    with begun("bar", plan_of(**OTHER), clock) as progress:
        clock.now += 10
        progress.told(named("tpe", 1), -0.2, None)
        lines = [line.split() for line in seen(progress, width=80).splitlines()]
    assert " ".join(lines[0]) == "digits: log loss, lower is better"
    assert " ".join(lines[1][1:]) == "13/60 trials, 2 failed, 0.1/s, 7 min 50 s left"
    assert [" ".join(line) for line in lines[2:-1]] == [
        "sampler runs trials failed median so far over",
        "tpe 1/3 13/30 2 0.1500 2 runs",
        "random 0/3 0/30 0 - 0 runs",
        "reference 0.1500 2 splits",
    ]
    assert "different stages" in " ".join(lines[-1])


@pytest.mark.parametrize("width", [40, 66, 80, 200])
@pytest.mark.parametrize("height", [12, 40])
def test_many_samplers_with_long_names_fit_a_small_terminal(screenless, width, height):
    samplers = [f"tpe(n_startup_trials={n}, multivariate=True, constant_liar=True)" for n in range(30)]
    plan = plan_of(samplers, 500, **{samplers[0]: [[-0.125] * N_TRIALS] * 500, "reference": [[-0.3]]})
    name = named(samplers[1])
    with Progress("bar", LOSS, plan, clock=Clock()) as progress:
        progress.begin_run(name, n_done=0, n_total=N_TRIALS, best=None, reference=None)
        lines = seen(progress, width, height).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= height
    n_shown = sum(line.startswith("tpe(") for line in lines)
    assert re.search(r"500/500 .* 0.1250", lines[3])
    assert any(re.match(r"reference .* 0.3000", line) for line in lines)
    if n_shown < 30:
        assert any(line.startswith(f"... and {30 - n_shown} more") for line in lines)
    assert n_shown == (30 if height == 40 else 5 - 1)
    assert ("failed" in lines[2], "trials" in lines[2]) == (width >= 66, width >= 80)


def test_trials_that_were_there_count_as_done_and_not_for_the_rate(screenless):
    """Two comparisons that make the same trials in the same time expect the same of what is left."""
    drawn = []
    for plan in (plan_of(n_repetitions=2), plan_of(n_repetitions=3, tpe=[[-0.3] * 10], random=[[-0.3] * 10])):
        clock = Clock()
        with Progress("bar", LOSS, plan, clock=clock) as progress:
            clock.now += 100  # workers come up
            names = [name for name, stage in plan.runs.items() if not stage.n_done]
            progress.begin_run(names[0], n_done=0, n_total=N_TRIALS, best=None, reference=None)
            assert "left" not in seen(progress)
            for _ in range(4):
                clock.now += 5
                progress.told(names[0], -0.2, None)
        drawn.append(seen(progress))
    assert ["4/40 trials, 0.2/s, 3 min left" in drawn[0], "24/60 trials, 0.2/s, 3 min left" in drawn[1]] == [True] * 2


def test_a_sampler_whose_trials_are_reused_promises_nothing_of_the_others():
    """Ten trials for nothing, then four of ten seconds each: 46 are left, and those of b are trained."""
    stages = Stages({named(sampler, r): Stage(N_TRIALS) for r in range(3) for sampler in "ab"})
    for r in range(2):
        stages.runs[named("a", r)] = Stage(10, n_done=10, n_new=10, n_reused=10)
    assert stages.seconds_left(10.0) is None  # nothing was trained: nothing is known
    stages.runs[named("b")] = Stage(10, n_done=4, n_new=4)
    assert stages.seconds_left(40.0) == pytest.approx((26 + 10 / 21) * 10)
    fresh = Stages({named(sampler, r): Stage(N_TRIALS) for r in range(3) for sampler in "ab"})
    fresh.runs[named("b")] = Stage(10, n_done=4, n_new=4)
    assert fresh.seconds_left(40.0) == pytest.approx((26 + 30) * 10)


def test_a_run_that_ends_early_has_ended_and_leaves_less_to_do(screenless):
    plan = plan_of(n_repetitions=1)
    with begun("bar", Stages(plan.runs | {named("tpe", 1): Stage(N_TRIALS)}), Clock()) as progress:
        progress.told(named("tpe", 1), -0.5, None)
        progress.end_run(named("tpe", 1))
        progress.end_run(named("reference"))  # which is no run of the plan
        text = seen(progress)
    assert " 1/21 trials" in text
    assert re.search(r"tpe +1/2 +1/11 ", text)


values = st.one_of(st.none(), st.floats(-1e6, 1e6))


@given(before=st.lists(st.lists(values, max_size=6), min_size=1, max_size=4), now=st.lists(values, max_size=6))
def test_counts_and_medians_are_those_of_all_trials(before, now):
    runs = {named("tpe", r): row for r, row in enumerate(before)}
    plan = Stages.of_plan(list(runs), {name: 12 - len(row) for name, row in runs.items()}, stored(runs))
    with Progress("none", LOSS, plan, clock=Clock()) as progress:
        for value in now:
            progress.told(named("tpe"), value, None if value is not None else "no")
    known = [[v for v in row if v is not None] for row in [before[0] + now, *before[1:]]]
    (standing,) = plan.standings
    best = [max(row) for row in known if row]
    assert standing.median == (statistics.median(best) if best else None)
    assert standing.n_incumbents == len(best)
    assert standing.n_done == sum(map(len, before)) + len(now) == plan.n_done
    assert standing.n_failed == standing.n_done - sum(map(len, known)) == plan.n_failed
    assert standing.n_total == 12 * len(before) == plan.n_total


def test_an_interruption_is_shown_below_and_nothing_is_written_into_what_is_drawn(screenless, monkeypatch, capfd):
    monkeypatch.setattr(Interrupts, "is_ending", False)
    with begun("bar", plan_of(**OTHER), Clock()) as progress:
        assert ANNOUNCEMENT not in seen(progress)
        monkeypatch.setattr(Interrupts, "is_drawn", True)
        Interrupts().handle()
        assert seen(progress).splitlines()[-1] == ANNOUNCEMENT
        assert capfd.readouterr().err == ""
        monkeypatch.setattr(Interrupts, "is_drawn", False)
        Interrupts().handle()
        assert ANNOUNCEMENT in capfd.readouterr().err


def test_a_notebook_shows_one_output_that_is_replaced_and_at_last_empty(monkeypatch):
    shown = []

    def display(bundle, *, raw, display_id):
        assert raw
        assert display_id
        shown.append(bundle)
        return types.SimpleNamespace(update=lambda bundle, raw: shown.append(bundle))

    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))
    clock = Clock()
    monkeypatch.setattr("hpo.runs.progress_screen.time.monotonic", clock)
    with begun("auto", plan_of(**OTHER), clock) as progress:
        for _ in range(4):  # two of which within a quarter of a second of the one before
            clock.now += 0.2
            progress.told(named("tpe", 1), -0.2, None)
    assert len(shown) == 1 + 2 + 1
    assert re.search(r"tpe +1/3 +16/30 +2 +0.1500", shown[2]["text/plain"])
    assert re.fullmatch(r"<pre [^>]*>.*tpe +1/3 .*</pre>", shown[2]["text/html"], re.DOTALL)
    assert set(shown[-1].values()) == {""}


def test_a_comparison_that_goes_on_knows_what_was_there(tmp_path, capsys, monkeypatch):
    """The last line that is printed has the medians of the table."""
    monkeypatch.setattr("hpo.runs.progress.SECONDS_PER_LINE", 0.0)
    study = tree_study()
    options = {"samplers": ["random", "tpe"], "database": tmp_path / "x.db", "workers": 1}
    hpo.compare(study, repetitions=2, trials=4, progress="none", **options)
    hpo.run(study, sampler="random", seed=0, split=0, trials=9, database=tmp_path / "x.db", progress="none")
    capsys.readouterr()
    comparison = hpo.compare(study, repetitions=3, trials=5, progress="lines", **options)
    lines = [line for line in capsys.readouterr().err.splitlines() if "so far" in line]
    medians = dict(
        zip(comparison.table["sampler"], map(comparison.metric.text, comparison.table["median"]), strict=True)
    )
    reference = comparison.metric.text(comparison.reference["value"].median())
    said = f"random {medians['random']}, tpe {medians['tpe']} (reference {reference})"
    assert lines[-1].startswith(f"iris-tree: 30/30 trials; median brier score so far (lower is better): {said}")
    # of 30, the run of nine counts five; the other three have four
    assert lines[0].startswith("iris-tree: 17/30 trials;")


@pytest.mark.slow
def test_a_bar_in_a_terminal_of_80_columns_shows_everything(tmp_path):
    mine, theirs = pty.openpty()
    code = (
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "import hpo\nfrom conftest import tree_study\n"
        f"hpo.run(tree_study(), sampler='random', trials=60, database={str(tmp_path / 'x.db')!r})\n"
    )
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-c", code], stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    while True:
        try:
            read = os.read(mine, 4096)
        except OSError:  # the terminal is closed
            break
        if not read:
            break
        seen += read
    os.close(mine)
    assert process.wait(timeout=300) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert re.search(r"random/split0-seed0 \S+ +\d+/60 best 0\.\d+, ref 0\.\d+, [\d.e+]+/s, .* s left", text), text[
        -500:
    ]
    assert "…" not in text


def test_the_scoring_of_the_sealed_test_is_shown_as_it_goes(capsys, screenless):
    clock = Clock()
    whole = {sampler: [[-0.2] * N_TRIALS] for sampler in ("tpe", "random")}
    with Progress("lines", LOSS, plan_of(n_repetitions=1, **whole), clock=clock) as progress:
        progress.scored(1, 5)
        clock.now += 60
        progress.scored(2, 5)
    assert capsys.readouterr().err == "digits: sealed test: 2 of 5 incumbents scored\n"
    drawn = Progress("bar", LOSS, plan_of(n_repetitions=1, **whole), clock=clock)
    drawn.scored(3, 5)  # every run was there, so nothing was drawn before
    assert "sealed test: 3 of 5 incumbents scored" in seen(drawn)
