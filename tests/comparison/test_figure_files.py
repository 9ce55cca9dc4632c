"""Figures are written as files by matplotlib: without a browser, a home folder, or a trace in the user's settings."""

import itertools
import logging
import os
import pickle
import struct
import subprocess
import sys
import warnings
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from comparison_frames import SAMPLERS, all_figures, frames

import hpo
from hpo.comparison import side_figures
from hpo.figures.figure import Axis, Band, Bars, Figure, Label, Look, Note, Panel, Points, Rule
from hpo.figures.figure import Line as LineMark
from hpo.figures.files import write_figure, write_figures
from hpo.figures.line_chart import Chart, Line
from hpo.figures.matplotlib_figure import drawn

SMALL = frames(n_samplers=3, n_repetitions=3, n_trials=10)
EVERY = all_figures(SMALL)


def texts(path):
    """What an SVG says, without line breaks."""
    return " ".join(
        " ".join("".join(e.itertext()).split()) for e in ElementTree.parse(path).iter() if e.tag[-4:] == "text"
    )


def figure_of(*marks, x=None, y=None, heading="heading"):
    return Figure(heading, "How to read it.", (Panel(x=x or Axis(), y=y or Axis(), marks=marks),))


def test_every_figure_is_written_as_a_real_image(tmp_path):
    wanted = {f"digits/{name}": figure for name, figure in EVERY.items()}
    paths = write_figures(wanted, tmp_path / "new" / "figures")
    names = [f"digits-{name}.{kind}" for name in EVERY for kind in ("png", "svg")]
    assert [path.name for path in paths] == names
    for png, svg in zip(paths[::2], paths[1::2], strict=True):
        head = png.read_bytes()[:24]
        assert head.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", head[16:24])
        assert width == 1800
        assert height > 400
        assert ElementTree.parse(svg).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    for (name, figure), svg in zip(EVERY.items(), paths[1::2], strict=True):
        said = texts(svg)
        assert figure.heading in said
        assert figure.caption in said
        for panel in figure.panels:
            assert panel.x.title in said
            assert panel.y.title in said
        if name not in ("superiority", "failures"):
            assert all(sampler.partition("(")[0] in said for sampler in SAMPLERS[:3])


def test_the_same_figure_gives_the_same_bytes_and_no_date(tmp_path):
    kinds = ("png", "svg", "pdf")
    (tmp_path / "figure.pickle").write_bytes(pickle.dumps(EVERY["superiority"]))
    code = (
        "import pickle, sys\n"
        "from hpo.figures.files import write_figures\n"
        f"write_figures({{'superiority': pickle.load(open(sys.argv[1], 'rb'))}}, sys.argv[2], {kinds!r})\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "figure.pickle"), str(tmp_path / "there")],
        check=True, timeout=300, env={**os.environ, "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    here = write_figures({"superiority": EVERY["superiority"]}, tmp_path / "here", kinds)
    for path in here:
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes(), path.suffix
    assert b"CreationDate" not in here[2].read_bytes()


def test_neither_a_browser_nor_a_home_nor_a_display_is_needed_and_nothing_is_said(tmp_path):
    code = (
        "import sys\n"
        "from hpo.figures.files import write_figure\n"
        "from hpo.figures.figure import Axis, Figure, Panel\n"
        "assert 'matplotlib' not in sys.modules\n"
        "write_figure(Figure('here', '', (Panel(x=Axis(), y=Axis(), marks=()),)), sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    (tmp_path / "file").touch()
    for home in (tmp_path / "file" / "below", tmp_path):  # the first cannot be made, not even by root
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "figure.png")], capture_output=True, text=True, timeout=300,
            env={"HOME": str(home), "PATH": "/nowhere", "LANG": "C.UTF-8"},
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_the_users_settings_neither_matter_nor_change(tmp_path):
    figure = EVERY["time-to-target"]
    write_figure(figure, tmp_path / "plain.svg")
    before = logging.getLogger("matplotlib").level
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "text.usetex": True, "svg.fonttype": "path"}):
        own = dict(matplotlib.rcParams)
        write_figure(figure, tmp_path / "own.svg")
        assert dict(matplotlib.rcParams) == own
    assert (tmp_path / "plain.svg").read_bytes() == (tmp_path / "own.svg").read_bytes()
    assert logging.getLogger("matplotlib").level == before


@pytest.mark.parametrize("name", ["$x$ $\\frac", "_hidden", "<b>&amp;", "学習率 ☃", "a%b{c}", "%(x)s", "\\alpha^2"])
def test_names_of_users_are_shown_as_they_are(tmp_path, name):
    line = LineMark(x=[0, 1], y=[0, 1], look=Look(), name=name)
    rows = {0.0: Label(name, f" {name}", (name,))}
    figure = figure_of(line, Rule(x=0.5, text=name), Note(x=0, y=0, text=name), x=Axis(title=name),
                       y=Axis(title=name, ticks=rows), heading=name)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ("svg", "png", "pdf"):
            write_figure(figure, tmp_path / f"figure.{kind}")
    assert texts(tmp_path / "figure.svg").count(name) >= 9


def boxes(canvas, artists):
    renderer = canvas.canvas.get_renderer()
    return [artist.get_window_extent(renderer) for artist in artists]


@pytest.mark.parametrize("n_samplers", [2, 10])
@pytest.mark.parametrize("name", sorted(EVERY))
def test_nothing_is_cut_off_and_the_legend_hides_nothing(name, n_samplers):
    figure = all_figures(frames(n_samplers, 3, 10))[name]
    with drawn(figure) as canvas:
        renderer = canvas.canvas.get_renderer()
        whole = canvas.bbox
        panels = [axes.get_tightbbox(renderer) for axes in canvas.axes]
        parts = [*panels, *boxes(canvas, canvas.legends), *boxes(canvas, canvas.texts)]
    for part in parts:
        assert whole.x0 <= part.x0 < part.x1 <= whole.x1
        assert whole.y0 <= part.y0 < part.y1 <= whole.y1
    for one, other in itertools.combinations(parts, 2):
        assert not one.overlaps(other), (one, other)
    for axes, panel in zip(canvas.axes, figure.panels, strict=True):
        assert axes.get_window_extent(renderer).height == pytest.approx(panel.height, abs=1)
        assert axes.get_window_extent(renderer).width > 400


def test_the_marks_are_where_the_numbers_say():
    marks = (
        LineMark(x=[1, 2, 4], y=[3, 1, np.nan], look=Look("#0072B2"), name="line", is_stepped=True, most_symbols=2),
        Band(x=[1, 2], low=[0, 1], high=[2, 3], look=Look("#D55E00")),
        Points(x=[1, 3], y=[2, 2], look=Look("#009E73", symbol="star"), name="points", in_legend=True),
        Bars(lengths=[2], y=[1], look=Look("#E69F00"), thickness=0.5),
        Rule(y=2.5, text="level"),
    )
    with drawn(figure_of(*marks, x=Axis(is_log=True, limits=(0.5, 8)), y=Axis(limits=(4, 0)))) as canvas:
        (axes,) = canvas.axes
        line, points, rule = axes.lines
    assert line.get_xdata().tolist() == [1, 2, 4]
    assert line.get_drawstyle() == "steps-post"
    assert points.get_linestyle() == "None"
    assert list(rule.get_ydata()) == [2.5, 2.5]
    assert (axes.get_xscale(), axes.get_xlim(), axes.get_ylim()) == ("log", (0.5, 8), (4, 0))
    assert {"0.5", "1", "2", "5"} <= {label.get_text() for label in axes.get_xticklabels()}
    (bar,) = axes.patches
    assert (bar.get_width(), bar.get_y()) == (2, 0.75)
    (legend,) = canvas.legends
    assert [text.get_text() for text in legend.get_texts()] == ["line", "points"]


def test_a_figure_with_nothing_to_draw_says_why(tmp_path):
    given = SMALL["failures"].iloc[:0]
    write_figure(side_figures.failures(given), tmp_path / "none.svg")
    assert "no trial failed" in texts(tmp_path / "none.svg")
    empty = Chart("t", "c", "x", "y", [Line("a", [1.0], [np.nan])])
    write_figure(empty.figure(), tmp_path / "empty.svg")
    assert "a" in texts(tmp_path / "empty.svg").split()


def test_choices_with_long_names_do_not_run_into_each_other(tmp_path):
    choices = {float(i): f"a rather long choice {i}" for i in range(9)}
    chart = Chart("t", "c", "x", "y", [Line("a", list(choices), [1.0] * 9)], ticks=choices)
    with drawn(chart.figure()) as canvas:
        labels = canvas.axes[0].get_xticklabels()
    assert {label.get_rotation() for label in labels} == {35}
    assert canvas.axes[0].get_tightbbox(canvas.canvas.get_renderer()).y0 > 0


def test_folders_and_formats_are_checked_first(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(hpo.InvalidOption, match="is a file: give a folder"):
        write_figures({}, tmp_path / "file")
    with pytest.raises(hpo.InvalidOption, match="cannot be written"):
        write_figures({}, tmp_path / "file" / "below")
    for formats in (["gif"], "png"):
        with pytest.raises(hpo.InvalidOption, match=r"formats=.*: give a list of png, svg, pdf"):
            write_figures({}, tmp_path, formats)


def test_one_that_cannot_be_drawn_leaves_no_others_behind(tmp_path):
    broken = figure_of(LineMark(x=[1, 2], y=[1], look=Look()))
    with pytest.raises(ValueError, match="same first dimension"):
        write_figures({"good": EVERY["ranks"], "broken": broken}, tmp_path / "figures")
    assert not (tmp_path / "figures").exists()
