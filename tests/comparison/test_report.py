"""The figures show what the frames say, and the page opens by itself in a browser."""

import base64
import itertools
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from comparison_frames import METRIC, SAMPLERS, all_figures, frames
from plotly.offline import get_plotlyjs
from selenium.webdriver.support.ui import WebDriverWait

from hpo.comparison import figures, side_figures
from hpo.comparison.curves import incumbent_bands
from hpo.figures.figure import Label
from hpo.figures.page import Section, page
from hpo.figures.plotly_figure import plotly_figure
from hpo.figures.style import Rows, styles, tick_label
from hpo.units import Metric

ACCURACY = Metric("accuracy", 1)
REFERENCE = pd.DataFrame({"split": [0, 1, 2], "value": [-2.5, np.nan, -3.5], "test": np.nan})


def curves_of(*runs, sampler="a"):
    """Curves of runs, each a list of (seconds, incumbent)."""
    rows = [
        (sampler, repetition, trial, seconds, seconds / 2, value)
        for repetition, run in enumerate(runs)
        for trial, (seconds, value) in enumerate(run, start=1)
    ]
    return pd.DataFrame(rows, columns=["sampler", "repetition", "trial", "seconds", "fit_seconds", "incumbent"])


THREE = curves_of([(1, np.nan), (2, -1)], [(1, -5), (3, -5)], [(4, -4), (5, -2)])


def test_the_median_counts_a_run_without_success_as_the_worst():
    bands = incumbent_bands(THREE)
    assert bands["at"].tolist() == [1, 2]
    assert bands["median"].tolist() == [-5, -2]


def test_against_seconds_values_are_held_never_interpolated_and_end_with_the_first_run():
    bands = incumbent_bands(THREE, "seconds")
    assert bands["at"].tolist() == [1, 2]  # the first run to end takes 2 seconds
    assert bands["median"].tolist() == [-np.inf, -5]  # (none, -5, none), (-1, -5, none)
    assert incumbent_bands(THREE, "fit_seconds")["at"].tolist() == [0.5, 1]


def test_a_run_that_ended_early_is_held_flat():
    curves = pd.concat([curves_of([(1, -3.0)]), curves_of([(1, -4.0), (2, -2.0), (3, -1.0)], sampler="b")])
    bands = incumbent_bands(curves)
    assert bands.loc[bands["sampler"] == "a", "median"].tolist() == [-3, -3, -3]


def test_many_instants_become_a_grid_on_which_nothing_comes_too_early():
    given = frames(n_samplers=1, n_repetitions=5, n_trials=400)["curves"]
    bands = incumbent_bands(given, "seconds")
    assert len(bands) == 300
    assert bands["at"].iloc[-1] == given.groupby("repetition")["seconds"].max().min()
    for row in bands.iloc[::37].itertuples():
        held = [run.loc[run["seconds"] <= row.at, "incumbent"].max() for _, run in given.groupby("repetition")]
        assert row.median == np.median(np.nan_to_num(held, nan=-np.inf))


def test_the_interval_of_ten_medians_is_the_second_and_the_ninth():
    curves = curves_of(*[[(1, -float(i))] for i in range(1, 11)])
    band = incumbent_bands(curves).iloc[0]
    assert (band["low"], band["median"], band["high"]) == (-9, -5.5, -2)  # coverage 97.9%


def lines(figure):
    return [trace for trace in figure.data if trace.name]


@pytest.mark.parametrize("against", ["trial", "seconds", "fit_seconds"])
def test_incumbents_are_steps_errors_positive_with_a_band_and_the_reference(against):
    given = frames(n_samplers=3, n_repetitions=8, n_trials=60)
    figure = plotly_figure(figures.incumbents(given["curves"], given["reference"], METRIC, against))
    assert [trace.name for trace in lines(figure)] == list(SAMPLERS[:3])
    assert {trace.line.shape for trace in figure.data} == {"hv"}
    assert all(min(trace.y) > 0 for trace in lines(figure))
    bands = incumbent_bands(given["curves"], against)
    for sampler, trace in zip(SAMPLERS, lines(figure), strict=False):
        own = bands[(bands["sampler"] == sampler) & np.isfinite(bands["median"])]
        last = np.searchsorted(trace.x, own["at"], side="right") - 1
        assert (trace.y[last] == -own["median"]).all()  # what was left out is what did not change
        assert trace.x[-1] == own["at"].iloc[-1]
    veils = [trace for trace in figure.data if trace.fill == "tonexty"]
    assert len(veils) == 3
    assert figure.layout.shapes[0].y0 == 0.31
    assert "lower is better" in figure.layout.yaxis.title.text


def test_a_score_is_drawn_as_it_is():
    curves = curves_of([(1, 0.5), (2, 0.75)])
    figure = plotly_figure(figures.incumbents(curves, REFERENCE.assign(value=np.nan), ACCURACY))
    assert list(lines(figure)[0].y) == [0.5, 0.75]
    assert not figure.layout.shapes  # the reference failed
    assert not [trace for trace in figure.data if trace.fill]  # one run has no interval


def test_the_picture_does_not_follow_an_awful_first_trial():
    curves = curves_of([(1, -1000.0)] + [(t, -1 - 1 / t) for t in range(2, 30)])
    low, high = figures.incumbents(curves, REFERENCE, METRIC).panels[0].y.limits
    assert 0 < low < 1.1
    assert high < 5


def test_final_values_are_a_point_per_run_and_the_median_with_failures():
    finals = pd.DataFrame({"sampler": "a", "repetition": [0, 1, 2], "split": [4, 5, 6], "value": [-1.0, np.nan, -3.0]})
    figure = plotly_figure(figures.finals(finals, REFERENCE, METRIC))
    points, median = figure.data
    assert points.x[[0, 2]].tolist() == [1, 3]
    assert "split 4" in points.text[0]
    assert list(median.x) == [3]  # of 1, 3 and a failure
    assert "1 without success" in figure.layout.yaxis.ticktext[0]
    assert figure.layout.shapes[0].x0 == 3  # the reference's median


def test_a_reference_far_away_does_not_squash_the_points():
    finals = pd.DataFrame({"sampler": "a", "repetition": [0, 1], "split": [0, 1], "value": [-1.0, -1.1]})
    figure = plotly_figure(figures.finals(finals, REFERENCE, METRIC))
    assert not figure.layout.shapes
    assert "The reference, 3.000, is outside" in figure.layout.meta["caption"]


def test_superiority_is_a_forest_with_a_line_at_one_half():
    row = {
        "sampler": "tpe",
        "against": "random",
        "superiority": 0.75,
        "superiority_low": 0.57,
        "superiority_high": 0.86,
    }
    figure = plotly_figure(figures.superiority(pd.DataFrame([{**row, "p_holm": 0.01, "verdict": "real"}])))
    trace = figure.data[0]
    assert trace.x[0] == 0.75
    assert trace.error_x.array[0] == pytest.approx(0.11)
    assert trace.error_x.arrayminus[0] == pytest.approx(0.18)
    assert figure.layout.shapes[0].x0 == 0.5
    assert figure.layout.yaxis.ticktext[0] == "<b>tpe</b> against random<br>real"


def test_the_survival_curve_falls_at_each_hit_and_ends_at_the_budget():
    times = pd.DataFrame({"sampler": "a", "repetition": range(4), "hit": [3, 5, 5, np.nan], "budget": 10})
    trace = plotly_figure(figures.time_to_target(times)).data[0]
    at = dict(zip(trace.x, trace.y, strict=True))
    assert (at[0], at[3], at[5], at[10]) == (1, 0.75, 0.25, 0.25)
    assert trace.line.shape == "hv"
    never = plotly_figure(figures.time_to_target(times.assign(hit=np.nan))).data[0]
    assert set(never.y) == {1}


def test_the_test_is_drawn_against_validation_where_both_are_known():
    finals = pd.DataFrame(
        {"sampler": ["a", "a", "b"], "split": 0, "repetition": [0, 1, 0], "value": [-1.0, -2, -3],
         "test": [-1.5, np.nan, -2]}
    )  # fmt: skip
    figure = plotly_figure(figures.test_against_validation(finals, METRIC))
    a, b, diagonal = figure.data
    assert (list(a.x), list(a.y)) == ([1], [1.5])
    assert (list(b.x), list(b.y)) == ([3], [2])
    assert list(diagonal.x) == list(diagonal.y) == [1, 3]
    nothing = plotly_figure(figures.test_against_validation(finals.assign(test=np.nan), METRIC))
    assert nothing.layout.annotations[0].text == "the test rows were not opened"


def test_ranks_of_demsar_are_joined_where_they_are_closer_than_the_critical_difference():
    ranks = pd.DataFrame({"sampler": ["C4.5", "m", "cf", "m+cf"], "rank": [3.143, 2.0, 2.893, 1.964]})
    figure = plotly_figure(side_figures.ranks(ranks, 1.25, 14))
    assert [x for x in figure.data[1].x if np.isfinite(x)] == [1.964, 3.143]  # Demsar 2006: none differs
    closer = plotly_figure(side_figures.ranks(ranks, 1.0)).data[1]
    assert [x for x in closer.x if np.isfinite(x)] == [1.964, 2.893, 2.893, 3.143]
    assert figure.layout.yaxis.ticktext[0] == "<b>m+cf</b>"
    assert len(plotly_figure(side_figures.ranks(ranks, np.nan)).layout.annotations) == 0


def test_costs_have_panels_of_their_own_and_failures_a_bar_per_kind():
    given = frames(n_samplers=3, n_repetitions=4, n_trials=20)
    figure = plotly_figure(side_figures.cost(given["finals"]))
    titles = [figure.layout[f"xaxis{i}"].title.text for i in ("", 2, 3, 4)]
    assert [title.split()[2] for title in titles] == ["fitting", "scoring", "the", "in"]
    medians = [trace for trace in figure.data if trace.name == "median"]
    expected = given["finals"].groupby("sampler", sort=False)["fit_seconds"].median()
    assert medians[0].x == pytest.approx(expected)
    bars = plotly_figure(side_figures.failures(given["failures"])).data
    assert sum(len(bar.x) for bar in bars) == len(given["failures"])
    assert sum(sum(bar.x) for bar in bars) == given["failures"]["count"].sum()
    nothing = plotly_figure(side_figures.failures(given["failures"].iloc[:0]))
    assert nothing.layout.annotations[0].text == "no trial failed"


def test_a_sampler_looks_the_same_in_every_figure_and_like_no_other():
    many = [f"s{i}" for i in range(42)]
    looks = styles(pd.DataFrame({"sampler": many}), None)
    for one, other in itertools.combinations(looks.values(), 2):
        assert (one.color, one.dash) != (other.color, other.dash)
        assert (one.color, one.symbol) != (other.color, other.symbol)
    drawn = {name: plotly_figure(f) for name, f in all_figures(frames(9, 3, 10)).items()}
    for sampler in SAMPLERS[:9]:
        markers = {
            (trace.marker.color, trace.marker.symbol)
            for figure in drawn.values()
            for trace in figure.data
            if trace.name == sampler and trace.type == "scatter"
        }
        assert len(markers) == 1, (sampler, markers)


def test_a_row_is_as_high_as_its_label():
    rows = Rows([tick_label("a"), tick_label("tpe(n_startup_trials=20, multivariate=True)"), tick_label("<b>")], 24)
    assert rows.heights.tolist() == [24, 60, 24]
    assert rows.centers.tolist() == [12, 54, 96]
    assert rows.labels[2] == Label("<b>")


class Outline(HTMLParser):
    """Tags of a page, the text of its headings, and whether each thing is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.levels, self.ids, self.figures = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag in {"h1", "h2", "h3"}:
            self.levels.append(int(tag[1]))
        if "id" in attributes:
            self.ids.append(attributes["id"])


NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'$x$"


def section_of(drawn, title="digits-mlp", name="tpe"):
    return Section(
        title=title, lead="20 repetitions of 500 trials.", sentences=["tpe is better.", "The rest is open."],
        header=["sampler", *(f"column {i}" for i in range(8))], rows=[[name, *["0.1234"] * 8]] * 2, warnings=["few"],
        advice=["go on"], figures=drawn, made={"command": "hpo compare", "seed": "0"},
    )  # fmt: skip


def test_names_of_users_are_text_everywhere():
    given = frames(n_samplers=2, n_repetitions=3, n_trials=5)
    renamed = {name: frame.replace({"random": NASTY}) if "sampler" in frame else frame for name, frame in given.items()}
    text = page(NASTY, [section_of(all_figures(renamed, Metric(NASTY, -1)), NASTY, NASTY)] * 2, lead=NASTY)
    outline = Outline(text)
    assert [tag for tag, _ in outline.tags].count("script") == 2 + 2 * 10
    assert "img" not in {tag for tag, _ in outline.tags}
    assert "<script>alert" not in text
    blocks = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert len(blocks) == 2 * 10
    assert not set("<>&") & set("".join(blocks))
    assert {json.loads(block)["data"][-1]["type"] for block in blocks} == {"scatter", "bar"}


def test_sections_have_headings_in_order_and_ids_of_their_own():
    drawn = all_figures(frames(n_samplers=2, n_repetitions=3, n_trials=5))
    one, two = (Outline(page("t", [section_of(drawn)] * n)) for n in (1, 2))
    for outline in (one, two):
        assert outline.levels[0] == 1
        assert outline.levels.count(1) == 1
        assert max(np.diff(outline.levels)) == 1
        assert len(set(outline.ids)) == len(outline.ids)
        assert all(attributes.get("aria-label") for tag, attributes in outline.tags if attributes.get("role") == "img")
    assert {"incumbents", "finals"} <= set(one.ids)
    assert {"part0", "part1", "part1-incumbents"} <= set(two.ids)
    assert [tag for tag, _ in two.tags].count("caption") == 2


def test_what_is_empty_is_left_out():
    text = page("only words", [Section("words", sentences=["so it is"])])
    assert "script" not in {tag for tag, _ in Outline(text).tags}
    assert "Warnings" not in text
    assert "so it is" in text


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of 10 samplers x 20 seeds x 500 trials."""
    text = page("Samplers on digits-mlp", [section_of(all_figures(frames()))])
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_page_is_little_more_than_plotly(report):
    assert report.stat().st_size - len(get_plotlyjs().encode()) < 500_000
    assert report.read_text(encoding="utf-8").count("plotly.js v") == 1


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The same figures of fewer runs, sooner drawn."""
    path = tmp_path_factory.mktemp("small") / "report.html"
    text = page("Samplers on digits-mlp", [section_of(all_figures(frames(3, 6, 20)))])
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def opened(browser, small):
    """Open a page at a width and wait until it is drawn."""

    def open_at(width=1280, scheme="light", path=small):
        is_phone = width < 600
        metrics = {"width": width, "height": 850, "deviceScaleFactor": 1, "mobile": is_phone}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": is_phone})
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get_log("browser")
        browser.get_log("performance")
        browser.get(path.as_uri())
        done = browser.execute_async_script(
            "const done = arguments[0], root = document.documentElement;"
            "const look = () => root.dataset.drawn ? done(true) : setTimeout(look, 20); look();"
        )
        assert done
        return browser

    return open_at


MARKS = """
return [...document.querySelectorAll(".plot")].map((plot) => ({
  name: plot.id,
  marks: [...plot.querySelectorAll(".cartesianlayer path")].filter((path) => {
    const box = path.getBoundingClientRect();
    return box.width * box.height > 0;
  }).length,
  width: plot.querySelector(".main-svg").getBoundingClientRect().width,
  height: plot.querySelector(".main-svg").getBoundingClientRect().height,
  font: getComputedStyle(plot.querySelector(".xtick text")).fill,
}));
"""
OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("width", [1280, 390])
def test_every_figure_is_drawn_nothing_is_asked_of_a_network_and_nothing_sticks_out(opened, report, width):
    browser = opened(width, path=report)
    assert browser.get_log("browser") == []
    assert browser.execute_script(OVERFLOW) <= 0
    drawn = browser.execute_script(MARKS)
    assert len(drawn) == 10
    assert all(figure["marks"] >= 5 for figure in drawn), drawn
    assert all(0.8 * width < figure["width"] <= width or width == 1280 for figure in drawn), drawn
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [report.as_uri()]
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_a_fetch_would_be_refused(opened):
    browser = opened()
    assert browser.execute_async_script(
        "const done = arguments[0]; fetch('data:text/plain,x').then(() => done('let'), () => done('refused'))"
    ) == "refused"  # fmt: skip
    assert browser.execute_async_script(
        "const done = arguments[0];"
        "Plotly.toImage('finals', {format: 'png', width: 300, height: 200}).then((url) => done(url.slice(0, 14)))"
    ) == "data:image/png"  # fmt: skip


def test_figures_follow_the_scheme_also_when_it_changes(opened):
    light = {figure["font"] for figure in opened().execute_script(MARKS)}
    browser = opened(scheme="dark")
    dark = {figure["font"] for figure in browser.execute_script(MARKS)}
    assert light == {"rgb(26, 26, 26)"}
    assert dark == {"rgb(236, 236, 236)"}
    features = [{"name": "prefers-color-scheme", "value": "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    assert browser.execute_async_script(
        "const done = arguments[0];"
        "const look = () => getComputedStyle(document.querySelector('#ranks .xtick text')).fill === 'rgb(26, 26, 26)'"
        " ? done(true) : setTimeout(look, 20); look();"
    )


def test_it_prints_in_light_colors_and_is_as_before_afterwards(opened):
    browser = opened(scheme="dark")
    before = browser.execute_script(MARKS)
    browser.execute_script(
        "const plot = document.getElementById('finals'), look = () => plot.querySelector('.main-svg');"
        "window.seen = [];"
        "new MutationObserver(() => seen.push([look().clientWidth, plot.layout.font.color]))"
        ".observe(plot, {subtree: true, childList: true, attributes: true});"
    )
    pdf = base64.b64decode(
        browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})["data"]
    )
    assert pdf.startswith(b"%PDF")
    assert 6 <= pdf.count(b"/Type /Page\n") <= 14
    assert [660, "#1a1a1a"] in browser.execute_script("return window.seen")
    WebDriverWait(browser, 120).until(lambda _: browser.execute_script(MARKS) == before)
    assert browser.get_log("browser") == []


def test_a_phone_that_is_turned_keeps_the_figures_whole(opened):
    browser = opened(390)
    before = browser.execute_script(MARKS)
    metrics = {"width": 800, "height": 390, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert browser.execute_async_script(
        "const done = arguments[0];"
        "const look = () => [...document.querySelectorAll('.plot')].every((plot) => plot.clientWidth > 700"
        " && plot.querySelector('.main-svg').clientWidth === plot.clientWidth)"
        " ? done(true) : setTimeout(look, 20); look();"
    )
    after = browser.execute_script(MARKS)
    assert [figure["height"] for figure in after] == [figure["height"] for figure in before]
    assert browser.execute_script(OVERFLOW) <= 0


def test_several_studies_are_drawn_on_one_page(opened, tmp_path):
    drawn = all_figures(frames(n_samplers=2, n_repetitions=6, n_trials=20))
    ranks = {"ranks": drawn.pop("ranks")}
    sections = [Section("All studies", figures=ranks), section_of(drawn, "a", NASTY), section_of(drawn, NASTY)]
    (tmp_path / "several.html").write_text(page("Several", sections), encoding="utf-8")
    browser = opened(390, path=tmp_path / "several.html")
    assert browser.get_log("browser") == []
    assert len(browser.execute_script(MARKS)) == 1 + 2 * 9
    assert browser.execute_script(OVERFLOW) <= 0
