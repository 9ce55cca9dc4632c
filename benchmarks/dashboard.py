"""Measures how soon hpo dashboard answers on a large database, beside the command optuna-dashboard, in one run.

The database has 1,000 runs of 50 trials and one of 10,000. What is timed is the first byte of what each page asks for:
the list of studies, a study of 50 trials, the study of 10,000 (the first time, and once it was asked for before), and
the comparison of samplers, which optuna-dashboard does not have: beside it stands what its page of 60 studies side by
side asks for. Both servers are asked in turns.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import hpo
from benchmarks.listing import fill
from benchmarks.tables import at_least, print_goal, print_machine, print_table

OURS, PEER = "hpo dashboard", "optuna-dashboard"
N_SIDE_BY_SIDE = 60
GOAL_RATIO, GOAL_WARM = 1.0, 5.0


def start(command: Sequence[str], address: str) -> subprocess.Popen[bytes]:
    """Start a server, and wait until it answers."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        try:
            first_byte(address, "/dashboard/")
            return process
        except OSError:
            time.sleep(0.1)
    process.kill()
    raise RuntimeError(f"{command[0]} does not answer")


def first_byte(address: str, path: str) -> float:
    """Seconds until the first byte of an answer; the rest is read, and not timed."""
    begun = time.perf_counter()
    with urllib.request.urlopen(address + path, timeout=300) as answer:
        answer.read(1)
        seconds = time.perf_counter() - begun
        answer.read()
    return seconds


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=at_least, default=1000, help="default: %(default)s")
    parser.add_argument("--large", type=at_least, default=10_000, help="trials of the large run; default: %(default)s")
    parser.add_argument("--repeats", type=at_least, default=5, help="default: %(default)s")
    arguments = parser.parse_args()
    print_machine("optuna", "optuna-dashboard", "waitress")
    with tempfile.TemporaryDirectory(prefix="hpo-benchmark-") as folder:
        path = Path(folder) / "large.db"
        fill(path, arguments.runs, 50)
        fill(path, 1, arguments.large, study="large")
        with hpo.StudyDatabase(path) as database:
            large = database.study_id("large-0/grid/split0-seed0")
            small = database.study_id("study-0/tpe/split3-seed3")
        servers = {
            OURS: ([sys.executable, "-m", "hpo", "dashboard", "--database", str(path), "--port", "8765"], 8765),
            PEER: ([str(Path(sys.executable).with_name(PEER)), f"sqlite:///{path}", "--port", "8766"], 8766),
        }
        several = ",".join(f"/api/studies/{i}" for i in range(small, small + N_SIDE_BY_SIDE)).split(",")
        pages = {
            "list of studies": ["/api/studies"],
            "a study of 50 trials": [f"/api/studies/{small}"],
            "comparison of samplers": ["/comparison/study-0"],
            f"the large study ({arguments.large:,} trials), first": [f"/api/studies/{large}"],
            "the large study, once warm": [f"/api/studies/{large}"],
        }
        seconds: dict[tuple[str, str], list[float]] = {}
        for _ in range(arguments.repeats):
            for server, (command, port) in servers.items():
                address = f"http://127.0.0.1:{port}"
                process = start(command, address)
                try:
                    for page, paths in pages.items():
                        asked = several if server == PEER and page.startswith("comparison") else paths
                        spent = sum(first_byte(address, path) for path in asked)
                        seconds.setdefault((page, server), []).append(spent)
                finally:
                    process.terminate()
                    process.wait()
    rows, ratios = [], {}
    for page in pages:
        ours, theirs = (statistics.median(seconds[page, server]) for server in servers)
        ratios[page] = theirs / ours
        rows.append([page, f"{1000 * ours:.0f} ms", f"{1000 * theirs:.0f} ms", f"{ratios[page]:.1f}x"])
    print_table(["first byte", OURS, PEER, "times faster"], rows)
    for page, ratio in ratios.items():
        goal = GOAL_WARM if page.endswith("warm") else GOAL_RATIO
        print_goal(page, f"{ratio:.1f}x", f"at least {goal:g}x", is_met=ratio >= goal)


if __name__ == "__main__":
    main()
