"""A comparison as figures and as a page."""

from collections.abc import Sequence
from html import escape

from hpo.comparison import figures as drawn
from hpo.comparison import sentences, side_figures
from hpo.comparison.findings import Findings
from hpo.figures.figure import Figure
from hpo.figures.page import Section, main_part, page
from hpo.units import counted

_CLOCKS = {"trial": "trials", "seconds": "seconds", "fit_seconds": "fit-seconds"}


def figures(findings: Findings) -> dict[str, Figure]:
    """Draw the figures by name, those left out that would show nothing."""
    metric, samplers = findings.metric, findings.plan.labels
    curves, finals, reference = findings.curves, findings.finals, findings.reference
    made = {
        f"incumbents-{name}": drawn.incumbents(curves, reference, metric, clock, samplers=samplers)
        for clock, name in _CLOCKS.items()
    }
    made["finals"] = drawn.finals(finals, reference, metric, samplers=samplers)
    if findings.repetitions > 1:
        made["superiority"] = drawn.superiority(findings.verdicts, samplers=samplers)
    if len(findings.times):
        made["time-to-target"] = drawn.time_to_target(findings.times, samplers=samplers)
    if findings.has_test:
        made["test-against-validation"] = drawn.test_against_validation(finals, metric, samplers=samplers)
    made["cost"] = side_figures.cost(finals, samplers=samplers)
    if len(findings.failures):
        made["failures"] = side_figures.failures(findings.failures, samplers=samplers)
    return made


def comparison_page(compared: Sequence[Findings], together: Section | None = None) -> str:
    """One self-contained page: a section for each study, and first what all of them say together."""
    sections = [_section(findings) for findings in compared]
    if len(sections) == 1:
        return page(sections[0].title, sections)
    assert together is not None  # several are put together first
    return page("Samplers compared on several studies", [together, *sections])


def comparison_part(findings: Findings) -> str:
    """HTML of a comparison without the page around it, for a page that is served."""
    section = _section(findings)
    return main_part(section.title, [section])


def _section(findings: Findings) -> Section:
    metric, plan = findings.metric, findings.plan
    header, rows = sentences.rows(findings)
    conclusions = sentences.conclusions(findings)
    return Section(
        title=f"Samplers on {findings.study}",
        lead=(
            f"{metric.label[:1].upper()}{metric.label[1:]}, {metric.direction}; "
            f"{counted(findings.repetitions, 'repetition')} of {counted(plan.trials, 'trial')}."
        ),
        sentences=conclusions.answers,
        header=header,
        rows=rows,
        warnings=sentences.warnings(findings),
        advice=[*conclusions.advice, f"To tune with it: {findings.command}"],
        figures=figures(findings),
        made=findings.made,
    )


def notebook(findings: Findings) -> str:
    """What a notebook shows: the sentences and the table."""
    header, rows = sentences.rows(findings)
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    conclusions = sentences.conclusions(findings)
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in (*conclusions.answers, *conclusions.advice))
    return f"{said}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
