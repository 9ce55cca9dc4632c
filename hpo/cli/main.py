"""The command line: arguments in, text out."""

import argparse
import errno
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from hpo.cli import commands
from hpo.cli.arguments import BAD_INPUT, FULL, MOST, QUICK, Call, Parser, add_run_options, build_parser
from hpo.cli.streams import as_read_on, discard_output, say_unwritable, stdout_for_json, usable_streams
from hpo.database.passwords import command_again, hide_passwords
from hpo.errors import ClusterLost, HpoError, InvalidOption, NotComparable, ScriptFailed
from hpo.process.interrupts import Interrupts, handled_by, leave, own_signals
from hpo.units import counted, one_line, parse_duration, parse_size

if TYPE_CHECKING:
    from hpo.database.study_database import StudyDatabase
    from hpo.study.definition import StudyDefinition

DONE, FAILED, STOPPED, INTERRUPTED = 0, 1, 75, 130
_ENDED = "hpo: ended at once. To go on: {}\n"


def entry() -> NoReturn:
    """The command ``hpo``."""
    own_signals(_ENDED.format(command_again(["hpo", *sys.argv[1:]])), INTERRUPTED)
    with usable_streams():
        code = command(sys.argv[1:])
    leave(code)


def main(study: "StudyDefinition", argv: Sequence[str] | None = None) -> NoReturn:
    """Run one study from its own script, with the options of ``hpo run``; does not return.

    Args:
        study: the definition.
        argv: arguments; None means those of the process.

    Example:
        >>> import hpo
        >>> hpo.main(hpo.find_study("wine-tree"), ["--help"])  # doctest: +SKIP
    """
    parser = Parser(description=f"Tune {study.name}.")
    add_run_options(parser)
    given = list(sys.argv[1:] if argv is None else argv)
    again = command_again(["python", sys.argv[0], *given])
    own_signals(_ENDED.format(again), INTERRUPTED)
    with usable_streams():
        code = _guarded(lambda: _run(parser.parse_args(given), study), again)
    leave(code)


def command(argv: Sequence[str]) -> int:
    """Carry out one command line; returns its exit code."""
    arguments = build_parser(COMMANDS).parse_args(argv)
    return _guarded(lambda: int(arguments.call(arguments)), command_again(["hpo", *argv]))


def _guarded(call: Callable[[], int], again: str) -> int:
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)  # it logs where a Ctrl-C has fallen
    with handled_by(Interrupts.stop):
        try:
            return call()
        except HpoError as error:
            if isinstance(error, ScriptFailed) and error.trace:
                print(hide_passwords(error.trace), file=sys.stderr)
            _complain(f"hpo: {one_line(error)}")
            Interrupts.is_cut_off = isinstance(error, ClusterLost)
            return error.exit_code
        except KeyboardInterrupt:
            kept = "; what was recorded is kept" if Interrupts.has_recorded else " before anything new was recorded"
            _complain(f"hpo: interrupted{kept}. To go on: {again}")
            return INTERRUPTED
        except BrokenPipeError:  # the reader of our output went away, as head does
            discard_output()
            return DONE
        except OSError as error:
            if not _has_folder():
                _complain("hpo: the working directory was deleted: change to another folder")
                return BAD_INPUT
            if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EIO, errno.EBADF):
                raise
            say_unwritable(error)
            return FAILED


def _has_folder() -> bool:
    """Whether the working directory still exists."""
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _complain(text: str) -> None:
    print(as_read_on(sys.stderr, hide_passwords(text)), file=sys.stderr, flush=True)


# --- commands; each imports what it needs, so that --help imports nothing ---


def _studies(arguments: argparse.Namespace) -> int:
    from hpo.cli import text
    from hpo.study.catalogue import copy_study

    if arguments.to is not None and arguments.copy is None:
        raise InvalidOption(f"--to {arguments.to!r} says where a copy goes: name the study with --copy")
    if arguments.copy is not None:
        text.say(f"copied to {copy_study(arguments.copy, arguments.to)}")
    else:
        text.show_studies()
    return DONE


def _samplers(_: argparse.Namespace) -> int:
    from hpo.cli import text

    text.show_samplers()
    return DONE


def _run(arguments: argparse.Namespace, study: "StudyDefinition | None" = None) -> int:
    from hpo.cli import text
    from hpo.runs.origin import find_in
    from hpo.runs.runner import run as run_study

    if study is None and _looks_like_run(arguments.study):
        _go_on_with(arguments)
    with stdout_for_json(arguments.json):
        definition = find_in(study or arguments.study, arguments.database)
    metric = definition.shown_metric
    target = arguments.target
    if target is not None and metric.sign == -1:
        if target < 0:
            raise InvalidOption(f"--target {target}: {metric.label} is an error, shown positive; give it as shown")
        target = -target
    with stdout_for_json(arguments.json):
        run = run_study(
            definition,
            sampler=arguments.sampler,
            pruner=arguments.pruner,
            seed=arguments.seed,
            split=arguments.split,
            trials=arguments.trials,
            database=arguments.database,
            **_resources(arguments),
            target=target,
            patience=arguments.patience,
            terminator=arguments.terminator,
            lag=arguments.lag,
            threads=arguments.threads,
            retry_failed=arguments.retry_failed,
            reuse=not arguments.no_reuse,
            new_version=arguments.new_version,
            trust_database=arguments.trust_database,
            progress=arguments.progress,
        )
    if arguments.json:
        print(text.to_json(run.summary()))
    elif run.has_success:
        text.show_outcome(run)
    if run.outcome is not None and not run.outcome.is_done:
        _complain("hpo: stopped by --timeout; the same command goes on")
        return STOPPED
    return DONE


def _looks_like_run(given: str) -> bool:
    """Whether a text is a run's name, or was meant to be one, and not the path of a script."""
    return given.count("/") == 2 and not given.startswith((".", "/")) and not given.endswith(".py")


def _go_on_with(arguments: argparse.Namespace) -> None:
    """Take sampler, split and seed from the name of a run that was given in the place of a study."""
    from hpo.database.run_name import RunName

    name = RunName.parse(arguments.study)
    for option in ("sampler", "split", "seed"):
        given, meant = getattr(arguments, option), getattr(name, option)
        if given not in (meant, arguments.parser.get_default(option)):
            raise InvalidOption(f"--{option} {given} contradicts the name of the run, {name}: leave it out")
        setattr(arguments, option, meant)


def _compare(arguments: argparse.Namespace) -> int:
    from hpo.cli import text
    from hpo.comparison.across import AcrossStudies
    from hpo.comparison.protocol import compare
    from hpo.figures.files import check_target, write_figures
    from hpo.runs.origin import find_in
    from hpo.samplers.pruning import check_suitable
    from hpo.samplers.table import find_sampler

    numbers = QUICK if arguments.quick else FULL
    if arguments.output and not arguments.output.endswith(".html"):
        raise InvalidOption(f"--output {arguments.output!r}: the page is HTML; give a name that ends in .html")
    if arguments.output and not os.access(os.path.dirname(os.path.abspath(arguments.output)), os.W_OK):
        raise InvalidOption(f"--output {arguments.output!r}: its folder does not exist or cannot be written")
    if arguments.figures:
        check_target(arguments.figures)
    with stdout_for_json(arguments.json):
        studies = [find_in(study, arguments.database) for study in arguments.studies]
        samplers = [find_sampler(sampler) for sampler in _split_samplers(arguments.samplers)]
        for study in studies:  # the last is refused before the first is run
            for sampler in samplers:
                check_suitable(sampler, study)
    comparisons, is_cut, resources = [], False, _resources(arguments)
    for study in studies:
        begun = time.monotonic()
        try:
            with stdout_for_json(arguments.json):
                comparison = compare(
                    study,
                    samplers=samplers,
                    repetitions=_repetitions(arguments),
                    trials=numbers["trials"] if arguments.trials is None else arguments.trials,
                    baseline=None if arguments.baseline == "none" else arguments.baseline,
                    margin=arguments.margin,
                    resplit=arguments.resplit,
                    open_test=not (arguments.quick or arguments.no_test),
                    database=_existing(arguments) if arguments.no_run else arguments.database,
                    **resources,
                    runs_missing=not arguments.no_run,
                    new_version=arguments.new_version,
                    until_known=arguments.until_known,
                    pool=arguments.pool,
                    trust_database=arguments.trust_database,
                    progress=arguments.progress,
                )
        except NotComparable as error:
            if arguments.no_run or time.monotonic() - begun < resources.get("timeout", math.inf):
                raise
            _complain(f"hpo: {study.name}: {one_line(error)}; stopped by --timeout; the same command goes on")
            is_cut = True
            continue
        comparisons.append(comparison)
        is_cut |= comparison.is_cut
        if not arguments.json:
            text.show_comparison(comparison)
    if comparisons:
        together = AcrossStudies(comparisons)
        if arguments.json:
            print(text.to_json({"comparisons": [c.records() for c in comparisons], "across": together.records()}))
        elif len(comparisons) > 1:
            text.show_across(together)
        if arguments.output:
            together.to_html(arguments.output)
        if arguments.figures:
            drawn = {f"{c.study}-{name}": figure for c in comparisons for name, figure in c.drawn.items()}
            write_figures(drawn | together.drawn, arguments.figures)
    if not arguments.json:
        from hpo.database.study_database import StudyDatabase
        from hpo.runs.origin import pasted

        with StudyDatabase(arguments.database) as database:
            text.say(f"to see its runs: {pasted(['hpo', 'list'], database)}")
            text.say(f"to see its trials: {pasted(['hpo', 'dashboard'], database)}")
    return STOPPED if is_cut else DONE


def _repetitions(arguments: argparse.Namespace) -> int:
    if arguments.repetitions is not None:
        return int(arguments.repetitions)
    return MOST if arguments.until_known else (QUICK if arguments.quick else FULL)["repetitions"]


def _list(arguments: argparse.Namespace) -> int:
    from hpo.cli import text

    with _existing(arguments) as database:
        runs = database.run_rows()
        if arguments.study is not None:
            from hpo.cli.named_run import studies_named

            names = studies_named(arguments.study, database)
            runs = [row for row in runs if row["study"] in names]
        if arguments.output or arguments.json:
            frame = database.runs()
            frame = frame[frame["run"].isin([row["run"] for row in runs])]
            if arguments.output:
                text.write_frame(text.runs_as_shown(frame), arguments.output)
            else:
                print(text.to_json(frame))
        else:
            text.show_runs(runs)
    return DONE


def _show(arguments: argparse.Namespace) -> int:
    from hpo.cli.show import show
    from hpo.runs.origin import existing

    with existing(arguments.database, arguments.run) as database:
        show(arguments, database)
    return DONE


def _doctor(arguments: argparse.Namespace) -> int:
    from hpo.cli import text
    from hpo.runs.doctor import examine

    with _existing(arguments) as database:
        findings = list(examine(database, evaluate=arguments.evaluate))
        for finding in findings:
            text.say(finding.what)
            text.say(f"    mend: {finding.mend}")
        n_findings = counted(len(findings), "finding")
        text.say(f"{n_findings} in {database.name}" if findings else f"{database.name} is in order")
    return FAILED if findings else DONE


def _delete(arguments: argparse.Namespace) -> int:
    from hpo.cli import text
    from hpo.runs.run import Run

    with _existing(arguments) as database:
        trials = counted(len(Run(arguments.run, database).trials), "trial")
        if not arguments.yes:
            print(f"delete {arguments.run} with its {trials} from {database.name}? [y/N] ", end="", flush=True)
            if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
                text.say("nothing was deleted")
                return DONE
        database.delete(arguments.run)
        text.say(f"deleted {arguments.run} with its {trials}")
    return DONE


def _dashboard(arguments: argparse.Namespace) -> int:
    from hpo.cli import text
    from hpo.dashboard.server import browse

    browse(
        arguments.database,
        host=arguments.host,
        port=arguments.port,
        writable=arguments.writable,
        token=arguments.token,
        opens=arguments.open,
        say=text.say,
    )
    return DONE


def _existing(arguments: argparse.Namespace) -> "StudyDatabase":
    from hpo.database.study_database import StudyDatabase

    return StudyDatabase(arguments.database, must_exist=True)


def _resources(arguments: argparse.Namespace) -> dict[str, Any]:
    """Workers and limits, where they were given."""
    parsers: dict[str, Callable[[str], Any]] = {
        "workers": str,
        "timeout": parse_duration,
        "walltime": parse_duration,
        "trial_timeout": parse_duration,
        "trial_memory": parse_size,
    }
    given = {name: getattr(arguments, name, None) for name in parsers}
    return {name: parsers[name](value) for name, value in given.items() if value is not None}


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


COMMANDS: dict[str, Call] = {
    "studies": _studies,
    "run": _run,
    "compare": _compare,
    "list": _list,
    "show": _show,
    "doctor": _doctor,
    "delete": _delete,
    "dashboard": _dashboard,
    "samplers": _samplers,
    **commands.COMMANDS,
}
