"""Progress says where a run is: a line a minute where nobody watches, a bar in a terminal."""

import os
import pty
import re
import subprocess
import sys

import pytest

from hpo.progress import Progress
from hpo.units import Metric


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_a_minute_with_incumbent_reference_rate_and_time_left(capsys):
    clock = Clock()
    with Progress("lines", Metric("neg_log_loss", -1), clock=clock) as progress:
        progress.begin_run("digits/tpe/split0-seed0", n_done=10, n_total=50, best=-0.3, reference=-0.25)
        for i in range(20):
            clock.now += 6
            progress.told("digits/tpe/split0-seed0", -0.2 if i == 3 else None, "ValueError: no" if i == 4 else None)
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


@pytest.mark.slow
def test_a_bar_in_a_terminal_of_80_columns_shows_everything(tmp_path):
    mine, theirs = pty.openpty()
    code = (
        f"import sys\nsys.path.insert(0, {os.path.dirname(__file__)!r})\n"
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
    assert process.wait(timeout=60) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert re.search(r"random/split0-seed0 \S+ +\d+/60 best 0\.\d+, ref 0\.\d+, [\d.e+]+/s, .* s left", text), text[
        -500:
    ]
    assert "…" not in text
