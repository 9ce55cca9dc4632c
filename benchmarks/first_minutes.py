"""What a newcomer sees in the first ten minutes: real commands typed into a terminal of 80 columns, and its screen.

Run ``python -m benchmarks.first_minutes`` (it needs tmux): it writes docs/first-ten-minutes.md.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from hpo.units import format_duration

ROOT = Path(__file__).resolve().parent.parent
COLUMNS, ROWS, HISTORY = 80, 50, 20_000
PROMPT = "$"
MOST_SECONDS = 1800  # for one command, on a busy machine
CLONE = "hpo-studies"  # where the newcomer has the project
SOCKET = "hpo-first-minutes"

# Title -> commands.
STEPS: dict[str, list[str]] = {
    "What is there": ["hpo", "hpo studies"],
    "A first run": ["hpo run wine-tree --trials 20", "hpo list", "hpo show wine-tree --no-refit"],
    "A guess of one's own": ["hpo try wine-tree max_depth=3"],
    "The final model": ["hpo export wine-tree model"],
    "A typing mistake": ["hpo rnu wine-tree", "hpo run wine-tre", "hpo run wine-tree --trails 5"],
    "Which sampler": ["hpo compare wine-tree --quick"],
    "A table of one's own": [
        "head -4 sales.csv",
        "hpo new my-shop --csv sales.csv --target bought",
        "hpo run my-shop --trials 10",
        "hpo export my-shop shop-model",
    ],
}


def sales(n: int = 240) -> pd.DataFrame:
    """Customers of a shop, as somebody's spreadsheet has them."""
    rng = np.random.default_rng(0)
    age, spent, plan = rng.integers(18, 80, n), rng.gamma(2, 400, n), rng.choice(["None", "Basic", "Plus"], n)
    score = age / 20 + spent / 500 + (plan == "Plus") + rng.normal(size=n)
    return pd.DataFrame(
        {
            "customer_no": np.arange(n) + 4711,
            "age": age,
            "spent": [f"${one:,.2f}" for one in spent],
            "plan": plan,
            "since": pd.Series(pd.date_range("2021-01-01", periods=n, freq="3D")).dt.strftime("%d.%m.%Y"),
            "bought": np.where(score > np.median(score), "yes", "no"),
        }
    )


class Terminal:
    """A shell in tmux, with nothing on its screen but what the commands print."""

    def __init__(self, folder: Path) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        variables = [
            f"PATH={path}",
            f"PYTHONPATH={folder / CLONE}",
            f"HOME={folder}",
            "LANG=C.UTF-8",
            "TERM=screen",
            f"PS1={PROMPT} ",
            "HISTFILE=",
        ]
        shell = shlex.join(["env", "-i", *variables, "bash", "--norc", "--noprofile"])
        self._tmux("-f", os.devnull, "start-server", ";", "set-option", "-g", "history-limit", str(HISTORY), ";",
                   "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), "-c", str(folder), shell)  # fmt: skip
        self._wait()

    def run(self, command: str) -> str:
        """What the screen shows of a command, the line that was typed first."""
        self._tmux("send-keys", "-R", ";", "clear-history")
        self._tmux("send-keys", "-l", command)
        self._tmux("send-keys", "Enter")
        time.sleep(0.5)  # until the prompt has gone
        self._wait()
        lines = [line.rstrip() for line in self._screen().splitlines()]
        while lines and lines[-1] in ("", PROMPT):
            lines.pop()
        while lines and not lines[0]:
            lines.pop(0)
        lines[0] = f"{PROMPT} {command}"
        return "\n".join(lines)

    def close(self) -> None:
        """End the shell."""
        self._tmux("kill-server")

    def _wait(self) -> None:
        end = time.monotonic() + MOST_SECONDS
        while time.monotonic() < end:
            shown = self._screen().rstrip().splitlines()
            if shown and shown[-1].strip() == PROMPT:
                return
            time.sleep(0.2)
        raise TimeoutError(f"the command did not end in {MOST_SECONDS} s; the screen shows:\n{self._screen()}")

    def _screen(self) -> str:
        return self._tmux("capture-pane", "-p", "-S", "-")

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", "-L", SOCKET, *arguments], capture_output=True, text=True, check=True)
        return done.stdout


def recorded(folder: Path) -> str:
    """The recording as Markdown."""
    for name in ("hpo", "studies"):
        shutil.copytree(ROOT / name, folder / CLONE / name)
    sales().to_csv(folder / "sales.csv", index=False)
    terminal = Terminal(folder)
    parts = [
        "# The first ten minutes",
        "",
        "What a terminal of 80 columns shows, recorded by `python -m benchmarks.first_minutes`. Nothing is edited.",
    ]
    begun = time.monotonic()
    try:
        for title, commands in STEPS.items():
            parts += ["", f"## {title}"]
            for command in commands:
                parts += ["", "```console", terminal.run(command), "```"]
    finally:
        terminal.close()
    parts += ["", f"All of it took {format_duration(time.monotonic() - begun)}, without the reading."]
    return "\n".join(parts) + "\n"


def main() -> int:
    """Record, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "first-ten-minutes.md")
    arguments = parser.parse_args()
    if shutil.which("tmux") is None:
        print("tmux is needed: install it first", file=sys.stderr)
        return 2
    folder = Path(tempfile.gettempdir(), "tuning")  # named alike on every machine, as its name is on the screen
    try:
        folder.mkdir()
    except FileExistsError:
        print(f"{folder} exists already: remove it first", file=sys.stderr)
        return 2
    try:
        arguments.output.write_text(recorded(folder), encoding="utf-8")
    finally:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
