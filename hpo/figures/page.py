"""The page of a comparison: one self-contained file that opens offline and asks nothing of any network."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files

from hpo.figures.figure import Figure
from hpo.figures.plotly_figure import plotly_figure


@dataclass(frozen=True)
class Section:
    """One part of the page: a study, or what all studies say together. What is empty is left out.

    Attributes:
        title: its heading; a page of one section does not repeat it below its own.
        lead: one or two sentences: metric, budget, repetitions.
        sentences: the answers, first and largest.
        table_caption: what the table shows.
        header: names of the table's columns; the first names the rows.
        rows: cells of the table.
        warnings: what limits the answers.
        advice: what to do next.
        figures: by name (unique in the section), with their headings and captions.
        made: how it was made, name to text: versions, seeds, hashes, the command.
    """

    title: str
    lead: str = ""
    sentences: Sequence[str] = ()
    table_caption: str = "Final values of each sampler over its repetitions"
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    warnings: Sequence[str] = ()
    advice: Sequence[str] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)


def page(title: str, sections: Sequence[Section], *, lead: str = "") -> str:
    """HTML of the whole page: all texts escaped, Plotly's script inside once, no network allowed.

    Args:
        title: of the page.
        sections: in order; several get a list of links and headings of their own.
        lead: a sentence below the title.
    """
    from plotly.offline import get_plotlyjs

    has_figures = any(section.figures for section in sections)
    scripts = [get_plotlyjs(), resource("page.js")] if has_figures else []
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">\n'
    code = "".join(f"<script>{script}</script>\n" for script in scripts)
    return document(title, main_part(title, sections, lead=lead), head=policy, code=code)


def main_part(title: str, sections: Sequence[Section], *, lead: str = "") -> str:
    """What stands in the page's main element: heading, links to several sections, and the sections."""
    is_one = len(sections) == 1
    has_figures = any(section.figures for section in sections)
    links = "".join(f'<li><a href="#part{i}">{escape(s.title)}</a></li>' for i, s in enumerate(sections))
    navigation = "" if is_one else f'<nav aria-label="Parts of this page"><ul>{links}</ul></nav>\n'
    parts = [
        _section(section, prefix="" if is_one else f"part{i}-", is_one=is_one) for i, section in enumerate(sections)
    ]
    noscript = "<noscript><p>The figures need JavaScript; text and tables do not.</p></noscript>" if has_figures else ""
    return f"<h1>{escape(title)}</h1>\n{_paragraph(lead)}{navigation}{noscript}{''.join(parts)}"


def document(title: str, main: str, *, head: str = "", code: str = "") -> str:
    """The whole page around its main element; ``main``, ``head`` and ``code`` are HTML."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{head}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{resource('page.css')}</style>\n</head>\n<body>\n<main>\n"
        f"{main}</main>\n{code}</body>\n</html>\n"
    )


def resource(name: str, room: str = "hpo.figures") -> str:
    """Return the text of a file that lies in a room of the package."""
    return files(room).joinpath(name).read_text(encoding="utf-8")


def _policy(scripts: Iterable[str]) -> str:
    """A Content-Security-Policy: only these very scripts run, and nothing is fetched (Plotly sets styles itself)."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _section(section: Section, *, prefix: str, is_one: bool) -> str:
    level = 2 if is_one else 3
    heading = "" if is_one else f"<h2>{escape(section.title)}</h2>\n"
    anchor = "" if is_one else f' id="{prefix[:-1]}"'
    sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in section.sentences)
    figures = "".join(_figure(prefix + name, figure, level) for name, figure in section.figures.items())
    return (
        f"<section{anchor}>\n{heading}{_paragraph(section.lead)}"
        + (f'<div class="answer">{sentences}</div>\n' if sentences else "")
        + _table(section)
        + _list("Warnings", section.warnings, level, "warnings")
        + _list("What to do next", section.advice, level, "advice")
        + figures
        + _definitions(section.made, level)
        + "</section>\n"
    )


def _paragraph(text: str) -> str:
    return f'<p class="lead">{escape(text)}</p>\n' if text else ""


def _list(heading: str, items: Sequence[str], level: int, kind: str) -> str:
    if not items:
        return ""
    lines = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f'<div class="{kind}"><h{level}>{heading}</h{level}>\n<ul>{lines}</ul></div>\n'


def _table(section: Section) -> str:
    """The table in a box of its own that scrolls where the screen is narrow."""
    if not section.rows:
        return ""
    caption = escape(section.table_caption)
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in section.header)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>\n"
        for row in section.rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}"><table><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n"
    )


def _definitions(made: Mapping[str, str], level: int) -> str:
    if not made:
        return ""
    lines = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>\n" for name, text in made.items())
    return f'<div class="made"><h{level}>How it was made</h{level}>\n<dl>{lines}</dl></div>\n'


def _figure(name: str, figure: Figure, level: int) -> str:
    """Heading, place and data of a figure; the page's script draws it there."""
    from plotly.io.json import to_json_plotly

    content = plotly_figure(figure).to_plotly_json()
    layout = content["layout"]
    del layout["title"], layout["meta"]  # they are the page's
    layout["margin"] = {**layout["margin"], "t": 24}
    text = to_json_plotly(content, engine="json")
    key, label, height = escape(name), escape(f"{figure.heading}. {figure.caption}"), int(layout["height"])
    return (
        f'<figure>\n<h{level}>{escape(figure.heading)}</h{level}>\n<div class="plot" id="{key}" role="img" '
        f'aria-label="{label}" style="height: {height}px"></div>\n<figcaption>{escape(figure.caption)}</figcaption>\n'
        f'<script type="application/json" id="{key}-data">{_embedded(text)}</script>\n</figure>\n'
    )


def _embedded(text: str) -> str:
    """JSON that cannot end the script element it stands in."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
