"""The page of a comparison: one self-contained file."""

from collections.abc import Mapping, Sequence
from html import escape

from hpo.comparison.figures import Figure

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #8886; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
"""


def page(
    *,
    title: str,
    lead: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    drawings: Mapping[str, Figure],
    notes: Sequence[str],
) -> str:
    """HTML with the table, the figures (Plotly's script inside, once) and the notes."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    parts = [
        figure.to_html(
            full_html=False, include_plotlyjs=i == 0, div_id=name, config={"displaylogo": False, "responsive": True}
        )
        for i, (name, figure) in enumerate(drawings.items())
    ]
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(title)}</h1><p>{escape(lead)}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{''.join(parts)}<ul>{items}</ul></body></html>"
    )
