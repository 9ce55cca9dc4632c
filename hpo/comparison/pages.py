"""A comparison as figures and as a page."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from hpo.comparison import figures as drawn
from hpo.comparison import side_figures
from hpo.figures.figure import Figure
from hpo.figures.page import Section, main_part, page
from hpo.units import counted

if TYPE_CHECKING:
    from hpo.comparison.across import AcrossStudies
    from hpo.comparison.result import Comparison

_CLOCKS = {"trial": "trials", "seconds": "seconds", "fit_seconds": "fit-seconds"}


def figures(comparison: "Comparison") -> dict[str, Figure]:
    """Draw the figures by name, those left out that would show nothing."""
    metric, samplers = comparison.metric, comparison.plan.labels
    curves, finals, reference = comparison.curves, comparison.finals, comparison.reference
    made = {
        f"incumbents-{name}": drawn.incumbents(curves, reference, metric, clock, samplers=samplers)
        for clock, name in _CLOCKS.items()
    }
    made["finals"] = drawn.finals(finals, reference, metric, samplers=samplers)
    if comparison.repetitions > 1:
        made["superiority"] = drawn.superiority(comparison.verdicts, samplers=samplers)
    if len(comparison.times):
        made["time-to-target"] = drawn.time_to_target(comparison.times, samplers=samplers)
    if comparison.has_test:
        made["test-against-validation"] = drawn.test_against_validation(finals, metric, samplers=samplers)
    made["cost"] = side_figures.cost(finals, samplers=samplers)
    if len(comparison.failures):
        made["failures"] = side_figures.failures(comparison.failures, samplers=samplers)
    return made


def rank_figures(together: "AcrossStudies") -> dict[str, Figure]:
    """``ranks``, where there are studies enough."""
    if not together.has_ranks:
        return {}
    return {"ranks": side_figures.ranks(together.ranks, together.critical_difference)}


def comparison_page(comparisons: Sequence["Comparison"], together: "AcrossStudies | None" = None) -> str:
    """One self-contained page: a section for each study, and first what all of them say together."""
    sections = [_section(comparison) for comparison in comparisons]
    if len(sections) == 1:
        return page(sections[0].title, sections)
    assert together is not None  # several are put together first
    first = Section("All studies", sentences=together.sentences(), figures=together.drawn)
    return page("Samplers compared on several studies", [first, *sections])


def comparison_part(comparison: "Comparison") -> str:
    """HTML of a comparison without the page around it, for a page that is served."""
    section = _section(comparison)
    return main_part(section.title, [section])


def _section(comparison: "Comparison") -> Section:
    metric, plan = comparison.metric, comparison.plan
    header, rows = comparison.rows()
    conclusions = comparison.conclusions
    return Section(
        title=f"Samplers on {comparison.study}",
        lead=(
            f"{metric.label[:1].upper()}{metric.label[1:]}, {metric.direction}; "
            f"{counted(comparison.repetitions, 'repetition')} of {counted(plan.trials, 'trial')}."
        ),
        sentences=conclusions.answers,
        header=header,
        rows=rows,
        warnings=comparison.warnings(),
        advice=[*conclusions.advice, f"To tune with it: {comparison.command}"],
        figures=comparison.drawn,
        made=comparison.made,
    )


def notebook(comparison: "Comparison") -> str:
    """What a notebook shows: the sentences and the table."""
    header, rows = comparison.rows()
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in comparison.sentences())
    return f"{said}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
