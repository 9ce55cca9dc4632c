"""What a coordinator that was killed has left in its database, read without mending it."""

import contextlib
import shutil
import sqlite3
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Trials = dict[int, tuple[Any, ...]]  # number -> state, value, hyperparameters, fold scores, attributes


@dataclass
class Contents:
    """The run as its database has it."""

    trials: Trials = field(default_factory=dict)
    n_rows: int = 0
    n_running: int = 0
    n_held: int = 0
    is_damaged: bool = False


def read(folder: Path) -> Contents:
    """Read a copy of the file, so that nothing but the next coordinator mends what a kill left."""
    with tempfile.TemporaryDirectory(prefix="hpo-benchmark-") as copies:
        for path in folder.glob("run.db*"):
            if path.is_file() and not path.name.endswith("-shm"):
                shutil.copy(path, copies)
        copy = Path(copies) / "run.db"
        if not copy.exists():
            return Contents()
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            try:
                return _read(connection)
            except sqlite3.DatabaseError as error:
                print(f"unreadable: {error}", file=sys.stderr)
                return Contents(is_damaged=True)


def _read(connection: sqlite3.Connection) -> Contents:
    contents = Contents(is_damaged=connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)])
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not {"trials", "studies", "trial_user_attributes"} <= tables:  # killed while it was made
        return contents
    rows = connection.execute(
        "SELECT trial_id, number, state FROM trials JOIN studies USING (study_id) "
        "WHERE study_name NOT LIKE '%/reference/%' ORDER BY trial_id"
    ).fetchall()
    for trial_id, number, state in rows:

        def of(table: str, columns: str, trial_id: int = trial_id) -> list[Any]:
            return sorted(connection.execute(f"SELECT {columns} FROM {table} WHERE trial_id = ?", (trial_id,)))

        attributes = dict(of("trial_user_attributes", "key, value_json"))
        told = [attributes.get(key) for key in ("configuration", "train_score", "error")]
        contents.trials[number] = (
            state,
            of("trial_values", "objective, value"),
            of("trial_params", "param_name, param_value, distribution_json"),
            of("trial_intermediate_values", "step, intermediate_value"),
            told,
        )
    contents.n_rows = len(rows)
    contents.n_running = sum(state in ("RUNNING", "WAITING") for _, _, state in rows)
    if "hpo_held_results" in tables:
        (contents.n_held,) = connection.execute("SELECT count(*) FROM hpo_held_results").fetchone()
    return contents
