"""What ``hpo show`` does: a run, one of its trials, or one of the questions that can be asked of them."""

import argparse
import math
import sys
from typing import TYPE_CHECKING, Any

from hpo.errors import HpoError, InvalidOption
from hpo.units import format_duration, one_line, parse_duration, parse_size

if TYPE_CHECKING:
    from hpo.database.study_database import StudyDatabase
    from hpo.database.trial import Trial
    from hpo.figures.line_chart import Chart
    from hpo.runs.run import Run

_WORTH_SAYING = 5  # seconds of training
_QUESTIONS = ("curve", "training", "cost", "select", "surrogate")
_CEILINGS = {
    "fit_seconds": parse_duration, "predict_seconds": parse_duration,
    "peak_memory_mb": parse_size, "model_size_mb": parse_size,
}  # fmt: skip


def show(arguments: argparse.Namespace, database: "StudyDatabase") -> None:
    """Carry out ``hpo show`` on an open database."""
    from hpo.cli import text
    from hpo.cli.learned import learn
    from hpo.cli.named_run import named_run

    question = _question(arguments)
    run = named_run(arguments.run, database, arguments.study)
    if str(run.name) != arguments.run and not arguments.json:
        text.say(f"the best run of {run.name.study} on split 0 is {run.name}")
    trial = None if arguments.trial is None else run.trial(arguments.trial)
    if question is not None:
        _answer(question, arguments, run, trial)
    elif arguments.output:
        text.write_frame(text.as_shown(run.trials, run.metric), arguments.output)
    elif arguments.json:
        print(text.to_json(run.summary() if trial is None else vars(trial)))
    else:
        learned = None if arguments.no_refit else learn(run, trial)
        text.show_run(run, trial, learned)
        if trial is None and run.has_success:
            _show_insights(run, may_train=not arguments.no_refit and not isinstance(learned, str))


def _question(arguments: argparse.Namespace) -> str | None:
    """The one question that is asked, or None."""
    from hpo.figures.line_chart import check_figure_path

    has_ceilings = any(getattr(arguments, f"max_{name}") is not None for name in _CEILINGS)
    if arguments.select is None and has_ceilings:
        arguments.select = "fastest" if arguments.margin is not None else "best"
    asked = [name for name in _QUESTIONS if getattr(arguments, name) not in (None, False)]
    if asked == ["cost", "select"]:
        asked = ["select"]  # by which cost
    if len(asked) > 1:
        raise InvalidOption(f"--{asked[0]} and --{asked[1]} are two questions: ask one at a time")
    question = asked[0] if asked else None
    if arguments.margin is not None and question != "select":
        raise InvalidOption("--margin belongs to --select fastest")
    if arguments.figure is not None:
        if question in (None, "select"):
            raise InvalidOption(
                "--figure draws what --curve, --training, --cost or --surrogate shows: give one of them"
            )
        check_figure_path(arguments.figure)
    return question


def _answer(question: str, arguments: argparse.Namespace, run: "Run", trial: "Trial | None") -> None:
    from hpo.analysis.selection import check_cost, selected
    from hpo.cli import insight_text, text
    from hpo.runs.origin import study_of

    if question in ("cost", "select"):
        cost = arguments.cost or "fit_seconds"
        check_cost(cost)
        if question == "cost":
            front = insight_text.front_frame(run, cost)
            _give(arguments, front, insight_text.cost_sentences(run, cost), insight_text.cost_chart(run, cost), run)
            return
        run.best  # noqa: B018 - raises where no trial is complete
        given = {name: getattr(arguments, f"max_{name}") for name in _CEILINGS}
        ceilings = {name: _CEILINGS[name](value) for name, value in given.items() if value is not None}
        found = selected(run.complete, arguments.select, cost=cost, margin=arguments.margin, ceilings=ceilings)
        if arguments.json:
            print(text.to_json({"sentence": found.sentence(run.metric), **vars(found.trial)}))
            return
        text.say(found.sentence(run.metric))
        text.show_trial(run.metric, found.trial)
        return
    chosen = trial or run.best
    if chosen.state != "COMPLETE":
        raise InvalidOption(f"trial {chosen.number} failed: there is nothing to vary or to train again")
    run.definition = run.definition or study_of(run.name, run.database)
    if question == "surrogate":
        from hpo.analysis.landscape import landscape

        believed = landscape(run, arguments.surrogate)
        shown = ("expected", "low", "high")
        _give(arguments, believed.frame, believed.sentences, believed.chart, run, signed=shown, n_rows=12)
    elif question == "curve":
        from hpo.analysis.validation_curves import levels_of, validation_curve

        n_levels = len(levels_of(run.problem().definition.space, arguments.curve, chosen))
        _say_seconds(f"training {n_levels} configurations", n_levels * chosen.fit_seconds)
        curve = validation_curve(run, arguments.curve, chosen)
        _give(arguments, curve.frame, curve.sentences, curve.chart, run, signed=("train", "validation"))
    else:
        from hpo.analysis.training_curves import training_curve

        _say_seconds(f"training trial {chosen.number} twice", 2 * chosen.fit_seconds / max(len(chosen.fold_scores), 1))
        training = training_curve(run, chosen)
        frame = training.frame.rename(columns={"epoch": training.unit})
        _give(arguments, frame, training.sentences, training.chart, run, n_rows=12)


def _give(
    arguments: argparse.Namespace,
    frame: Any,
    sentences: list[str],
    chart: "Chart",
    run: "Run",
    *,
    signed: tuple[str, ...] = ("value", "train_score"),
    n_rows: int | None = None,
) -> None:
    """Print, or write, what answers a question: picture, table and sentences."""
    from hpo.cli import insight_text, text

    if arguments.figure is not None:
        chart.write(arguments.figure, sentences)
    if arguments.output:
        shown = {name: frame[name] * run.metric.sign + 0.0 for name in signed if name in frame}
        text.write_frame(frame.assign(**shown), arguments.output)
    if arguments.json:
        print(text.to_json({"sentences": sentences, "rows": frame.astype(object).to_dict("records")}))
        return
    if not arguments.output:
        insight_text.show_chart(chart)
        insight_text.show_frame(frame, run.metric, signed=signed, n_rows=n_rows)
        for sentence in sentences:
            text.say(sentence)
    if arguments.figure is not None:
        text.say(f"wrote {arguments.figure}")


def _show_insights(run: "Run", *, may_train: bool) -> None:
    """Below a run: its diagnosis, best values at an edge, and what decides."""
    from hpo.analysis.diagnosis import diagnose
    from hpo.analysis.importance import importances
    from hpo.cli import insight_text, text

    insight_text.show_importances(importances(run))
    if not may_train or run.definition is None:
        return
    best = run.best
    if len(best.fold_scores) == 1:
        _say_seconds(f"training trial {best.number} once more for its diagnosis", best.fit_seconds)
    try:
        found = diagnose(run)
    except HpoError as error:
        text.say(f"no diagnosis: {one_line(error)}")
        return
    insight_text.show_diagnosis(found)


def _say_seconds(what: str, seconds: float) -> None:
    if not math.isnan(seconds) and seconds > _WORTH_SAYING:
        print(f"hpo: {what}, about {format_duration(seconds)}", file=sys.stderr)
