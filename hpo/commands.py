"""Commands for one model: export it, try it by hand, begin a study of one's own. Arguments in, text out."""

import argparse
import sys
from typing import TYPE_CHECKING

from hpo.arguments import Call
from hpo.errors import UnknownRun
from hpo.streams import stdout_for_json
from hpo.units import counted, format_duration, format_size

if TYPE_CHECKING:
    from hpo.database import StudyDatabase
    from hpo.export import Exported
    from hpo.runs import Run

DONE, FAILED = 0, 1


def _export(arguments: argparse.Namespace) -> int:
    from hpo import text
    from hpo.database import StudyDatabase

    with StudyDatabase(arguments.database, must_exist=True) as database:
        with stdout_for_json(arguments.json):
            run = _meant(arguments.what, arguments.study, database)
            if str(run.name) != arguments.what and not arguments.json:
                text.say(f"the best run of {run.name.study} on split 0 is {run.name}")
            if arguments.format == "joblib":
                print("hpo: joblib writes a pickle, which can run any code where it is loaded", file=sys.stderr)
            exported = run.export(
                arguments.path, format=arguments.format, force=arguments.force, open_test=not arguments.no_test
            )
        if arguments.json:
            print(text.to_json({**vars(exported), "path": str(exported.path), "metric": exported.metric.key}))
        else:
            _show_exported(exported, arguments.path)
    return DONE


def _meant(given: str, study: str | None, database: "StudyDatabase") -> "Run":
    """The run of that name, or the best run of that study."""
    from hpo.catalogue import find_study, study_named
    from hpo.run_name import RunName
    from hpo.runs import Run, best_run

    try:
        name = RunName.parse(given)
    except UnknownRun:
        return best_run(find_study(given), database)
    run = Run(name, database)
    run.definition = study_named(name.study) if study is None else find_study(study)
    return run


def _show_exported(exported: "Exported", path: str) -> None:
    from hpo import text

    metric = exported.metric
    text.say(
        f"trial {exported.trial} of {exported.run}, trained on training and validation rows in "
        f"{format_duration(exported.fit_seconds)}"
    )
    rows = [["validation rows", metric.text(exported.value)], ["reference, there", metric.text(exported.reference)]]
    if exported.test is not None:
        rows.append(["sealed test rows", metric.text(exported.test)])
    text.table([f"{metric.label} ({metric.direction})", ""], rows)
    text.say(exported.about_test)
    if exported.warnings:
        text.say("warnings of the fit: " + ", ".join(f"{count} {name}" for name, count in exported.warnings.items()))
    size = format_size(exported.n_bytes / 2**20) if exported.n_bytes >= 2**20 else counted(exported.n_bytes, "byte")
    text.say(f"wrote {exported.file} ({size}), manifest.json and README.md (the model card) to {exported.path}")
    more = f", trusted={list(exported.types)!r}" if exported.types else ""
    more += ", allow_pickle=True" if exported.file.endswith(".joblib") else ""
    text.say(f'load it: hpo.load_model({path!r}, digest="{exported.digest}"{more})')


COMMANDS: dict[str, Call] = {
    "export": _export,
}
