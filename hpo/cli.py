"""The command line: arguments in, text out."""

import argparse
import contextlib
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from hpo.errors import HpoError, InvalidOption, ScriptFailed
from hpo.units import parse_duration
from hpo.version import __version__

if TYPE_CHECKING:
    from hpo.database import StudyDatabase
    from hpo.definition import StudyDefinition

DONE, FAILED, BAD_INPUT, STOPPED, INTERRUPTED = 0, 1, 2, 75, 130
QUICK = {"repetitions": 5, "trials": 20}
FULL = {"repetitions": 20, "trials": 50}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One clear line, exit code 2."""
        self.exit(BAD_INPUT, f"{self.prog}: {message} ({self.prog} --help)\n")


def entry() -> NoReturn:
    """The command ``hpo``."""
    sys.exit(command(sys.argv[1:]))


def main(study: "StudyDefinition", argv: Sequence[str] | None = None) -> NoReturn:
    """Run one study from its own script, with the options of ``hpo run``; does not return.

    Args:
        study: the definition.
        argv: arguments; None means those of the process.
    """
    parser = _Parser(description=f"Tune {study.name}.")
    _add_run_options(parser)
    given = list(sys.argv[1:] if argv is None else argv)
    sys.exit(_guarded(lambda: _run(parser.parse_args(given), study), f"python {shlex.join([sys.argv[0], *given])}"))


def command(argv: Sequence[str]) -> int:
    """Carry out one command line; returns its exit code."""
    arguments = _parser().parse_args(argv)
    return _guarded(lambda: int(arguments.call(arguments) or DONE), shlex.join(["hpo", *argv]))


def _guarded(call: Callable[[], int], again: str) -> int:
    with _terminated_like_interrupted():
        try:
            return call()
        except ScriptFailed as error:
            _complain(f"{error.trace}\nhpo: {error}")
            return error.exit_code
        except HpoError as error:
            _complain(f"hpo: {' '.join(str(error).split())}")
            return error.exit_code
        except KeyboardInterrupt:
            _complain(f"hpo: interrupted; what was recorded is kept. To go on: {again}")
            return INTERRUPTED
        except BrokenPipeError:  # the reader of our output went away, as head does
            sys.stderr.close()
            return DONE


def _complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    def interrupt(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread: signals are somebody else's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# --- arguments ---


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="hpo", description="Tune scikit-learn models, and compare how they are tuned.")
    parser.add_argument("--version", action="version", version=f"hpo {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    def add(name: str, call: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(call=call)
        return added

    studies = add("studies", _studies, "list the studies that can be run by name")
    studies.add_argument("--copy", metavar="NAME", help="copy a study into studies/ here, to start from")

    run = add("run", _run, "run a study with one sampler, or resume it, up to its budget")
    run.add_argument("study", metavar="STUDY", help="a study's name, or the path of a script")
    _add_run_options(run)

    compare = add("compare", _compare, "compare samplers on a study: run what is missing, then report")
    compare.add_argument("studies", metavar="STUDY", nargs="+", help="a study's name, or the path of a script")
    compare.add_argument("--samplers", default="grid,random,tpe", metavar="A,B", help="default: %(default)s")
    compare.add_argument("--repetitions", type=int, metavar="N", help=f"default: {FULL['repetitions']}")
    compare.add_argument("--trials", type=int, metavar="N", help=f"budget of each run; default: {FULL['trials']}")
    compare.add_argument("--baseline", default="random", metavar="SAMPLER", help="default: %(default)s")
    compare.add_argument("--quick", action="store_true", help="5 repetitions of 20 trials")
    compare.add_argument("--no-run", action="store_true", help="only report what the database has")
    compare.add_argument("--output", metavar="FILE.html", help="also write a page that opens offline")
    compare.add_argument("--json", action="store_true", help="print the table as JSON")
    _add_common(compare, timeout=True, progress=True, new_version=True)

    listing = add("list", _list, "list the runs: trials, best value, seconds, state")
    listing.add_argument("--study", metavar="NAME", help="only runs of this study")
    _add_output(listing)

    show = add("show", _show, "show a run: its best hyperparameters, or one trial")
    show.add_argument("run", metavar="RUN", help="as in digits-mlp/tpe/split0-seed0")
    show.add_argument("--trial", type=int, metavar="N", help="one trial with all that is stored with it")
    _add_output(show)

    delete = add("delete", _delete, "delete a run, after asking")
    delete.add_argument("run", metavar="RUN", help="as in digits-mlp/tpe/split0-seed0")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    _add_common(delete)

    dashboard = add("dashboard", _dashboard, "browse the study database with optuna-dashboard")
    dashboard.add_argument("--port", type=int, help="default: 8080, or a free one where that is taken")
    dashboard.add_argument("--writable", action="store_true", help="let the browser change the database")
    _add_common(dashboard)

    add("samplers", _samplers, "list the samplers: what each is, needs and supports")
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sampler", default="tpe", metavar="NAME", help="as hpo samplers lists; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the sampler; default: %(default)s")
    parser.add_argument("--split", type=int, default=0, metavar="N", help="of the rows; default: %(default)s")
    parser.add_argument("--trials", type=int, metavar="N", help="budget in all; default: 50, or the whole grid")
    parser.add_argument("--target", type=float, metavar="VALUE", help="end at this value, errors positive as shown")
    parser.add_argument("--patience", type=int, metavar="N", help="end after N trials without a better one")
    parser.add_argument("--retry-failed", action="store_true", help="try failed cells of the grid again")
    parser.add_argument("--no-reuse", action="store_true", help="train again what was evaluated before")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    _add_common(parser, timeout=True, progress=True, new_version=True)


def _add_common(
    parser: argparse.ArgumentParser, *, timeout: bool = False, progress: bool = False, new_version: bool = False
) -> None:
    parser.add_argument(
        "--database", metavar="URL", help="URL or file; default: the environment's HPO_DATABASE, or hpo.db here"
    )
    if timeout:
        parser.add_argument("--timeout", metavar="DURATION", help="begin no trial after 90s, 30m, 8h; exit code 75")
    if progress:
        parser.add_argument("--progress", default="auto", choices=("auto", "bar", "lines", "none"))
    if new_version:
        parser.add_argument("--new-version", action="store_true", help="begin a new version of a changed study")


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="FILE", help="write it to FILE.csv, FILE.parquet or FILE.json")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    _add_common(parser)


# --- commands; each imports what it needs, so that --help imports nothing ---


def _studies(arguments: argparse.Namespace) -> int:
    from hpo import text
    from hpo.catalogue import copy_study

    if arguments.copy:
        text.say(f"copied to {copy_study(arguments.copy)}")
    else:
        text.show_studies()
    return DONE


def _samplers(_: argparse.Namespace) -> int:
    from hpo import text

    text.show_samplers()
    return DONE


def _run(arguments: argparse.Namespace, study: "StudyDefinition | None" = None) -> int:
    from hpo import text
    from hpo.catalogue import find_study
    from hpo.runner import start

    definition = find_study(study or arguments.study)
    metric = definition.shown_metric
    target = arguments.target
    if target is not None and metric.sign == -1:
        if target < 0:
            raise InvalidOption(f"--target {target}: {metric.label} is an error, shown positive; give it as shown")
        target = -target
    run, outcome = start(
        definition,
        sampler=arguments.sampler,
        seed=arguments.seed,
        split=arguments.split,
        trials=arguments.trials,
        database=arguments.database,
        timeout=_seconds(arguments),
        target=target,
        patience=arguments.patience,
        retry_failed=arguments.retry_failed,
        reuse=not arguments.no_reuse,
        new_version=arguments.new_version,
        progress=arguments.progress,
    )
    if arguments.json:
        print(text.to_json(run.summary(outcome.reason)))
    elif run.has_success:
        text.show_outcome(run, outcome)
    if not outcome.is_done:
        _complain("hpo: stopped by --timeout; the same command goes on")
        return STOPPED
    return DONE


def _compare(arguments: argparse.Namespace) -> int:
    from hpo import text
    from hpo.comparison.protocol import compare

    numbers = QUICK if arguments.quick else FULL
    if arguments.output and not arguments.output.endswith(".html"):
        raise InvalidOption(f"--output {arguments.output!r}: the page is HTML; give a name that ends in .html")
    if arguments.output and len(arguments.studies) > 1:
        raise InvalidOption("--output takes one study's page: compare the studies one by one")
    comparisons = []
    for study in arguments.studies:
        comparison = compare(
            study,
            samplers=_split_samplers(arguments.samplers),
            repetitions=numbers["repetitions"] if arguments.repetitions is None else arguments.repetitions,
            trials=numbers["trials"] if arguments.trials is None else arguments.trials,
            baseline=arguments.baseline,
            database=_existing(arguments) if arguments.no_run else arguments.database,
            timeout=_seconds(arguments),
            runs_missing=not arguments.no_run,
            new_version=arguments.new_version,
            progress=arguments.progress,
        )
        comparisons.append(comparison)
        if not arguments.json:
            text.show_comparison(comparison)
        if arguments.output:
            comparison.to_html(arguments.output)
    if arguments.json:
        print(text.to_json({comparison.study: comparison.records() for comparison in comparisons}))
    else:
        text.say("hpo list shows the runs, hpo dashboard the trials")
    return STOPPED if any(comparison.is_cut for comparison in comparisons) else DONE


def _list(arguments: argparse.Namespace) -> int:
    from hpo import text

    with _existing(arguments) as database:
        runs = database.runs()
        if arguments.study:
            runs = runs[runs["study"] == arguments.study]
        if arguments.output:
            text.write_frame(runs, arguments.output)
        elif arguments.json:
            print(text.to_json(runs))
        else:
            text.show_runs(runs)
    return DONE


def _show(arguments: argparse.Namespace) -> int:
    from hpo import text
    from hpo.runs import Run

    with _existing(arguments) as database:
        run = Run(arguments.run, database)
        trial = None if arguments.trial is None else run.trial(arguments.trial)
        if arguments.output:
            text.write_frame(run.trials, arguments.output)
        elif arguments.json:
            print(text.to_json(run.summary() if trial is None else vars(trial)))
        else:
            text.show_run(run, trial)
    return DONE


def _delete(arguments: argparse.Namespace) -> int:
    from hpo import text

    with _existing(arguments) as database:
        n_trials = len(database.optuna_trials(database.study_id(arguments.run)))
        if not arguments.yes:
            print(f"delete {arguments.run} with its {n_trials} trials from {database.name}? [y/N] ", end="", flush=True)
            if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
                text.say("nothing was deleted")
                return DONE
        database.delete(arguments.run)
        text.say(f"deleted {arguments.run} with its {n_trials} trials")
    return DONE


def _dashboard(arguments: argparse.Namespace) -> int:
    from hpo import text
    from hpo.dashboard import Dashboard

    with _existing(arguments) as database:
        dashboard = Dashboard(database, port=arguments.port, writable=arguments.writable)
        mode = "changes allowed" if arguments.writable else "read-only"
        text.say(f"optuna-dashboard on {database.name} ({mode}): {dashboard.url}  (Ctrl-C ends it)")
        with contextlib.suppress(KeyboardInterrupt):
            dashboard.serve()  # ends on Ctrl-C by itself
        dashboard.close()
        text.say("ended")
    return DONE


def _existing(arguments: argparse.Namespace) -> "StudyDatabase":
    from hpo.database import StudyDatabase

    return StudyDatabase(arguments.database, must_exist=True)


def _seconds(arguments: argparse.Namespace) -> float | None:
    return None if arguments.timeout is None else parse_duration(arguments.timeout)


def _split_samplers(text: str) -> list[str]:
    """Split at commas outside parentheses: ``random,tpe(group=True,n_startup_trials=5)``."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]
