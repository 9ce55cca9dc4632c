"""Commands for one model: export it, try it by hand, begin a study of one's own. Arguments in, text out."""

import argparse
import sys

from hpo.cli.arguments import Call
from hpo.cli.streams import stdout_for_json
from hpo.errors import InvalidOption

DONE, FAILED = 0, 1


def _export(arguments: argparse.Namespace) -> int:
    from hpo.cli import model_text, text
    from hpo.cli.named_run import named_run
    from hpo.runs.origin import existing, study_of

    with existing(arguments.database, arguments.what) as database:
        with stdout_for_json(arguments.json):
            run = named_run(arguments.what, database, arguments.study)
            run.definition = run.definition or study_of(run.name, database)
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
            model_text.show_exported(exported, arguments.path)
    return DONE


def _try(arguments: argparse.Namespace) -> int:
    from hpo.cli import model_text, text
    from hpo.runs.manual import parse_assignments, try_configuration
    from hpo.runs.origin import find_in

    with stdout_for_json(arguments.json):
        study = find_in(arguments.study, arguments.database)
        if not arguments.assignments:
            names = ", ".join(f"{name} ({allowed})" for name, allowed, _ in study.space.rows())
            raise InvalidOption(f"name one hyperparameter of {study.name} or more, as in name=value: {names}")
        tried = try_configuration(
            study,
            parse_assignments(arguments.assignments),
            split=arguments.split,
            database=arguments.database,
            new_version=arguments.new_version,
        )
    if arguments.json:
        plain = {name: getattr(tried, name) for name in ("changed", "gap", "rank", "n_configurations", "best")}
        others = {
            name: trial and vars(trial)
            for name, trial in (("previous", tried.previous), ("reference", tried.reference))
        }
        more = {"outside": tried.outside, "kept": {name: str(value) for name, value in tried.kept.items()}}
        print(text.to_json({"run": str(tried.run.name), "trial": vars(tried.trial), **others, **plain, **more}))
    else:
        model_text.show_try(tried)
    return FAILED if tried.trial.value is None else DONE


def _new(arguments: argparse.Namespace) -> int:
    from hpo.cli import model_text
    from hpo.study.from_csv.write import write_study

    study = write_study(
        arguments.name, arguments.csv, arguments.target, to=arguments.to, task=arguments.task, dates=arguments.dates
    )
    model_text.show_new(study, None if arguments.to is None else arguments.to)
    return DONE


COMMANDS: dict[str, Call] = {
    "new": _new,
    "try": _try,
    "export": _export,
}
