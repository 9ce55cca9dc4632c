"""The options of every command."""

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from hpo.cli.streams import as_read_on
from hpo.database.passwords import hide_passwords
from hpo.units import nearest
from hpo.version import __version__

BAD_INPUT = 2
_COMMAND = "COMMAND"
MOST = 100  # repetitions, where a comparison ends by itself
QUICK = {"repetitions": 5, "trials": 20}
FULL = {"repetitions": 20, "trials": 50}

# Options of hpo run and hpo compare by what they are about; the others are what is searched, and how.
_GROUPS = {
    "budget": (
        "--trials", "--repetitions", "--until-known", "--pool", "--target", "--patience", "--walltime", "--terminator",
        "--timeout",
    ),
    "workers": ("--workers", "--threads", "--lag", "--trial-timeout", "--trial-memory"),
    "resuming": ("--retry-failed", "--no-reuse", "--new-version", "--trust-database", "--warm-start"),
    "output": ("--database", "--output", "--figures", "--json", "--progress"),
}  # fmt: skip

Call = Callable[[argparse.Namespace], int]


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


class Parser(argparse.ArgumentParser):
    """Refuses in one clear line, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, what may have been meant, and where help is."""
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice is not None:
            near = nearest(choice[1], re.findall(r"[\w-]+", choice[2]))
            message += f"; {near}".rstrip("; ")
        if message.endswith(f"required: {_COMMAND}"):
            message = f"give a {_COMMAND}, as in hpo studies, which lists what can be run"
        said = hide_passwords(f"{self.prog}: {message} ({self.prog} --help)")
        self.exit(BAD_INPUT, f"{as_read_on(sys.stderr, said)}\n")

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> argparse.Namespace:
        """Parse as argparse does; assignments may also follow options, and an unknown option has its nearest named."""
        found: argparse.Namespace
        found, left = self.parse_known_args(args, namespace)
        if hasattr(found, "assignments"):
            found.assignments += [word for word in left if not word.startswith("-")]
            left = [word for word in left if word.startswith("-")]
        if left:
            parser = getattr(found, "parser", self)
            option = next((word.partition("=")[0] for word in left if word.startswith("-")), None)
            near = "" if option is None else nearest(option, list(parser._option_string_actions))
            parser.error(f"unrecognized arguments: {' '.join(left)}; {near}".rstrip("; "))
        return found


def build_parser(calls: Mapping[str, Call]) -> argparse.ArgumentParser:
    """The parser of ``hpo``; ``calls`` has what each command does."""
    parser = Parser(prog="hpo", description="Tune scikit-learn models, and compare how they are tuned.")
    parser.add_argument("--version", action="version", version=f"hpo {__version__}")
    commands = parser.add_subparsers(required=True, metavar=_COMMAND, parser_class=Parser)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(call=calls[name], parser=added)
        return added

    studies = add("studies", "list the studies that can be run by name")
    studies.add_argument("--copy", metavar="NAME", help="copy this study, to start from (default: list all)")
    studies.add_argument("--to", metavar="FILE.py", help="file of the copy (default: studies/NAME.py here)")

    new = add("new", "generate a ready-to-run study script for your CSV file")
    new.add_argument("name", metavar="NAME", help="name of the study")
    new.add_argument(
        "--csv",
        metavar="FILE",
        required=True,
        help="file with the data: a header and one row for each example (required)",
    )
    new.add_argument("--target", metavar="COLUMN", help="column that is to be predicted (required)")
    new.add_argument(
        "--task",
        choices=("classification", "regression"),
        help="kind of target (default: classes for text and up to ten whole numbers, else regression)",
    )
    new.add_argument(
        "--dates", action="store_true", help="learn from year, month and weekday of dates (default: leave dates out)"
    )
    new.add_argument("--to", metavar="FILE.py", help="file of the script (default: studies/NAME.py here)")

    run = add("run", "run a study with one sampler, or resume it, up to its budget")
    run.add_argument("study", metavar="STUDY", help="a study's name, or the path of a script")
    add_run_options(run)

    compare = add("compare", "compare samplers on a study: run what is missing, then report")
    compare.add_argument("studies", metavar="STUDY", nargs="+", help="a study's name, or the path of a script")
    compare.add_argument(
        "--samplers", default="grid,random,tpe", metavar="A,B", help="samplers to compare (default: %(default)s)"
    )
    compare.add_argument(
        "--repetitions",
        type=_whole,
        metavar="N",
        help=f"how often each sampler runs, with a new split and seed each time (default: {FULL['repetitions']})",
    )
    compare.add_argument(
        "--until-known",
        action="store_true",
        help=f"stop as soon as every question has an answer; --repetitions is then the most (default: {MOST})",
    )
    compare.add_argument(
        "--pool",
        type=_whole,
        default=1,
        metavar="N",
        help="run N times the random trials on each split, to know sooner what random search would need "
        "(default: %(default)s)",
    )
    compare.add_argument("--trials", type=_whole, metavar="N", help=f"budget of each run (default: {FULL['trials']})")
    compare.add_argument(
        "--baseline",
        default="random",
        metavar="SAMPLER",
        help="sampler that the others are compared with; none compares all pairs (default: %(default)s)",
    )
    compare.add_argument(
        "--margin",
        type=_number,
        metavar="M",
        help="smallest difference that matters, in the metric's units (default: the study's)",
    )
    compare.add_argument(
        "--resplit",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="deal training and validation rows anew in each repetition, or use one split for all (default: anew)",
    )
    _add_workers(compare, default="all cores")
    compare.add_argument(
        "--quick", action="store_true", help="run 5 repetitions of 20 trials, without verdict and test"
    )
    compare.add_argument("--no-test", action="store_true", help="leave the sealed test rows sealed")
    compare.add_argument("--no-run", action="store_true", help="report what the database has, and run nothing")
    compare.add_argument("--output", metavar="FILE.html", help="also write a page that opens offline (default: none)")
    compare.add_argument("--figures", metavar="DIR", help="also write each figure as PNG and SVG (default: none)")
    compare.add_argument("--json", action="store_true", help="print the result as JSON, not as text")
    _add_common(compare, timeout=True, progress=True, new_version=True)
    _group(compare)

    listing = add("list", "list the runs: trials, best value, seconds, state")
    listing.add_argument(
        "--study", metavar="NAME", help="list only runs of this study, by name or script (default: all)"
    )
    _add_output(listing)

    show = add("show", "show a run: hyperparameters and model parameters of its best trial, or of another")
    show.add_argument(
        "run", metavar="RUN", help="a run, as in digits-mlp/tpe/split0-seed0, or a study: then its best run on split 0"
    )
    show.add_argument(
        "--trial", type=_whole, metavar="N", help="show this trial with all that is stored with it (default: the best)"
    )
    show.add_argument(
        "--study", metavar="STUDY", help="name or script of the run's study (default: what the database remembers)"
    )
    show.add_argument("--no-refit", action="store_true", help="train nothing, and show hyperparameters alone")
    _add_questions(show)
    _add_output(show)

    trying = add("try", "try one configuration by hand; it is recorded as a trial of the run STUDY/manual/split0-seed0")
    trying.add_argument("study", metavar="STUDY", help="a study's name, or the path of a script")
    trying.add_argument(
        "assignments",
        metavar="NAME=VALUE",
        nargs="*",
        help="a hyperparameter and its value; those left out are as in the reference",
    )
    trying.add_argument(
        "--split",
        type=_whole,
        default=0,
        metavar="N",
        help="which train/validation split to use (default: %(default)s)",
    )
    trying.add_argument("--json", action="store_true", help="print the result as JSON, not as text")
    _add_common(trying, new_version=True)

    export = add("export", "write the final model: the best configuration, trained, tested, with a model card")
    export.add_argument("what", metavar="RUN", help="a run, or a study: then its best run on split 0")
    export.add_argument("path", metavar="PATH", help="folder to make")
    export.add_argument(
        "--format",
        default="skops",
        choices=("skops", "joblib"),
        help="how the model is stored; joblib is a pickle (default: %(default)s)",
    )
    export.add_argument("--force", action="store_true", help="replace a model that is there already")
    export.add_argument("--no-test", action="store_true", help="leave the sealed test rows sealed")
    export.add_argument(
        "--study", metavar="STUDY", help="name or script of the run's study (default: what the database remembers)"
    )
    export.add_argument("--json", action="store_true", help="print what was written as JSON, not as text")
    _add_common(export)

    doctor = add("doctor", "check the database: what is wrong, and the command that mends it")
    _add_common(doctor)
    doctor.add_argument(
        "--evaluate",
        action="store_true",
        help="also evaluate a stored trial of each study and split again, whole, and compare its scores",
    )

    delete = add("delete", "delete a run, after asking")
    delete.add_argument("run", metavar="RUN", help="a run, as in digits-mlp/tpe/split0-seed0")
    delete.add_argument("--yes", action="store_true", help="delete without asking")
    _add_common(delete)

    dashboard = add("dashboard", "browse the study database with optuna-dashboard")
    dashboard.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="NAME",
        help="address to listen on (default: %(default)s, this machine alone)",
    )
    dashboard.add_argument("--port", type=_whole, metavar="N", help="port to listen on (default: 8080, or a free one)")
    dashboard.add_argument(
        "--token", help="what a browser must know (default: none on this machine, generated beyond it)"
    )
    dashboard.add_argument("--open", action="store_true", help="open the page in the browser")
    dashboard.add_argument(
        "--writable", action="store_true", help="let the browser change the database (default: read-only)"
    )
    _add_common(dashboard)

    add("samplers", "list the samplers: what each is, needs and supports")
    return parser


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``hpo run``."""
    parser.add_argument(
        "--sampler",
        default="tpe",
        metavar="NAME",
        help="what proposes trials, as hpo samplers lists (default: %(default)s)",
    )
    parser.add_argument(
        "--pruner", metavar="NAME", help="what ends hopeless trials early, as hpo samplers lists (default: none)"
    )
    parser.add_argument("--seed", type=_whole, default=0, metavar="N", help="sampler seed (default: %(default)s)")
    parser.add_argument(
        "--split",
        type=_whole,
        default=0,
        metavar="N",
        help="which train/validation split to use (default: %(default)s)",
    )
    parser.add_argument(
        "--trials",
        type=_whole,
        metavar="N",
        help="total for the run, not the number to add (default: 50, or the whole grid)",
    )
    parser.add_argument(
        "--target",
        type=_number,
        metavar="VALUE",
        help="stop once the best score reaches VALUE; give errors as positive numbers, as displayed (default: none)",
    )
    parser.add_argument(
        "--patience", type=_whole, metavar="N", help="stop after N trials without a better one (default: none)"
    )
    parser.add_argument(
        "--walltime",
        metavar="DURATION",
        help="stop once the trials took 30m, 8h in all, over every resumption (default: none)",
    )
    parser.add_argument(
        "--terminator",
        action="store_true",
        help="stop once what is left to gain is within the noise of the folds (extra torch)",
    )
    _add_workers(parser, default="1")
    parser.add_argument(
        "--threads",
        type=_whole,
        metavar="N",
        help="threads of each evaluation (default: the cores of each worker, or 1 where that is measured to be faster)",
    )
    parser.add_argument(
        "--lag",
        type=_whole,
        metavar="N",
        help="how many unfinished trials the sampler may ignore when proposing the next (default: first --workers)",
    )
    parser.add_argument("--retry-failed", action="store_true", help="evaluate failed cells of the grid again")
    parser.add_argument(
        "--no-reuse", action="store_true", help="do not reuse earlier results for identical configurations"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON, not as text")
    _add_common(parser, timeout=True, progress=True, new_version=True)
    _group(parser)


def _group(parser: argparse.ArgumentParser) -> None:
    """Show the options in groups, whichever of them the parser has."""
    for title, names in _GROUPS.items():
        group = parser.add_argument_group(title)
        for action in [parser._option_string_actions.get(name) for name in names]:
            if action is not None:
                parser._optionals._group_actions.remove(action)
                group._group_actions.append(action)


def _add_questions(parser: argparse.ArgumentParser) -> None:
    """What can be asked of a run with ``hpo show``."""
    parser.add_argument(
        "--curve", metavar="NAME", help="show the validation curve: the best trial with NAME varied (trains it)"
    )
    parser.add_argument(
        "--surrogate",
        metavar="NAME",
        nargs="+",
        help="show what the optimizer believes over one or two hyperparameters",
    )
    parser.add_argument(
        "--training", action="store_true", help="show the loss of the best trial in each epoch (trains it)"
    )
    parser.add_argument(
        "--cost",
        metavar="COST",
        nargs="?",
        const="fit_seconds",
        help="show score against cost: predict_seconds, peak_memory_mb, model_size_mb or fit_seconds (default)",
    )
    parser.add_argument(
        "--select",
        metavar="RULE",
        help="select a trial: best, one-se (cheapest within one standard error), or fastest with --margin "
        "(default: best where a --max is given)",
    )
    parser.add_argument(
        "--margin",
        type=_number,
        metavar="M",
        help="how much worse the fastest may be, in the metric's units (needed by fastest)",
    )
    for name, unit in (("fit", "SECONDS"), ("predict", "SECONDS"), ("peak-memory", "SIZE"), ("model-size", "SIZE")):
        words = {"fit": "fit", "predict": "predict", "peak-memory": "peak memory", "model-size": "size of the model"}
        ending = "seconds" if unit == "SECONDS" else "mb"
        parser.add_argument(
            f"--max-{name}-seconds" if unit == "SECONDS" else f"--max-{name}",
            dest=f"max_{name.replace('-', '_')}_{ending}",
            metavar=unit,
            help=f"select only trials below this {words[name]}{' time' if unit == 'SECONDS' else ''} (default: any)",
        )
    parser.add_argument(
        "--figure", metavar="FILE", help="also draw what is shown as FILE.html, .png, .svg or .pdf (default: none)"
    )


def _add_workers(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--workers",
        metavar="N",
        help=f"number of parallel evaluations, or dask://HOST:8786 (default: {default})",
    )
    parser.add_argument(
        "--trial-timeout", metavar="DURATION", help="kill a trial after 90s, 30m, 8h; it fails (default: never)"
    )
    parser.add_argument(
        "--trial-memory", metavar="SIZE", help="kill a trial that takes more than 500MB, 2GB; it fails (default: any)"
    )


def _add_common(
    parser: argparse.ArgumentParser, *, timeout: bool = False, progress: bool = False, new_version: bool = False
) -> None:
    parser.add_argument(
        "--database",
        metavar="URL",
        help="URL or file of the study database (default: the environment's HPO_DATABASE, or hpo.db here)",
    )
    if timeout:
        parser.add_argument(
            "--timeout", metavar="DURATION", help="begin no trial after 90s, 30m, 8h; exit code 75 (default: never)"
        )
    if progress:
        parser.add_argument(
            "--trust-database", action="store_true", help="let a sampler of your own run what it stored as pickles"
        )
        parser.add_argument(
            "--progress",
            default="auto",
            choices=("auto", "bar", "lines", "none"),
            help="show a live bar, a line a minute, or nothing (default: a bar in a terminal, else lines)",
        )
    if new_version:
        parser.add_argument("--new-version", action="store_true", help="begin a new version of a changed study")


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="FILE", help="write FILE.csv, FILE.json or FILE.parquet (default: none)")
    parser.add_argument("--json", action="store_true", help="print JSON, not text")
    _add_common(parser)
