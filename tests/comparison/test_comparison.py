"""A comparison reads the database and says what is there, no more."""

import itertools
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import FLAT, tree_study
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo import Int
from hpo.comparison.curves import median_incumbents
from hpo.comparison.terminal import incumbents_text
from hpo.units import Metric

PLAN = {"samplers": ["random", "tpe", "grid"], "repetitions": 3, "trials": 6, "workers": 1, "progress": "none"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A database with a comparison, to be copied."""
    path = tmp_path_factory.mktemp("made") / "x.db"
    with hpo.StudyDatabase(path) as opened:
        hpo.compare(tree_study(), database=opened, **PLAN)
    return path


@pytest.fixture
def database(made, tmp_path):
    shutil.copy(made, tmp_path / "study.db")
    with hpo.StudyDatabase(tmp_path / "study.db") as opened:
        yield opened


@pytest.fixture
def empty(tmp_path):
    with hpo.StudyDatabase(tmp_path / "empty.db") as opened:
        yield opened


@pytest.fixture
def comparison(database, tree):
    return hpo.compare(tree, database=database, runs_missing=False, **PLAN)


def test_the_table_is_what_the_runs_say(comparison, database):
    trials = database.trials(study="iris-tree")
    for row in comparison.table.itertuples():
        finals = trials[trials["sampler"] == row.sampler].groupby("seed")["value"].max()
        assert row.repetitions == len(finals) == 3
        assert row.trials == 18
        assert row.median == finals.median()
        assert (row.worst, row.best) == (finals.min(), finals.max())
    finals = trials.pivot_table(index="seed", columns="sampler", values="value", aggfunc="max")
    table = comparison.table.set_index("sampler")
    assert table.loc["tpe", "wins"] == (finals["tpe"] > finals["random"]).sum()
    assert table.loc["tpe", ["wins", "ties", "losses"]].sum() == 3
    assert pd.isna(table.loc["random", "wins"])


def test_repetition_r_is_split_r_and_seed_r_for_every_sampler(comparison, database):
    runs = database.runs()
    runs = runs[runs["sampler"] != "reference"]
    assert (runs["split"] == runs["seed"]).all()
    assert runs.groupby("sampler")["seed"].apply(list).to_dict() == {s: [0, 1, 2] for s in PLAN["samplers"]}
    assert runs["seed"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]  # repetition by repetition
    assert comparison.reference["split"].tolist() == [0, 1, 2]


def test_the_curves_are_running_maxima(comparison, database):
    for (sampler, repetition), curve in comparison.curves.groupby(["sampler", "repetition"]):
        values = database.trials(f"iris-tree/{sampler}/split{repetition}-seed{repetition}")["value"]
        assert curve["incumbent"].tolist() == values.cummax().tolist()
        assert curve["trial"].tolist() == list(range(1, 7))
        assert (np.diff(curve["seconds"]) >= 0).all()
        assert (curve["seconds"] > 0).all()


def test_asking_again_trains_nothing_and_more_runs_only_what_is_new(comparison, database, tree):
    before = database.trials()
    again = hpo.compare(tree, database=database, **PLAN)
    pd.testing.assert_frame_equal(again.table, comparison.table)
    assert len(database.trials()) == len(before)
    hpo.compare(tree, database=database, **{**PLAN, "samplers": [*PLAN["samplers"], "qmc"], "repetitions": 4})
    after = database.trials()
    assert len(after) == len(before) + 6 * 3 + 4 * 6 + 1  # three samplers once more, qmc four times, a reference
    # The first comparison is still the same although the database has more.
    same = hpo.compare(tree, database=database, runs_missing=False, **PLAN)
    pd.testing.assert_frame_equal(same.table, comparison.table)


def test_samplers_are_a_list(tree):
    for given in ("random,tpe", 3, None):
        with pytest.raises(hpo.InvalidOption, match=rf"samplers={given!r}: give a list of samplers"):
            hpo.compare(tree, **{**PLAN, "samplers": given})


def test_what_is_missing_is_named_when_nothing_may_be_run(empty, tree):
    hpo.run(tree, sampler="random", trials=6, database=empty, progress="none")
    with pytest.raises(
        hpo.NotComparable,
        match=r"of 9 runs 8 are missing .* such as iris-tree/tpe/split0-seed0, which lacks 6",
    ):
        hpo.compare(tree, database=empty, runs_missing=False, **PLAN)


def test_a_comparison_cut_short_is_a_smaller_comparison(empty, tree, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    cut = hpo.compare(tree, database=empty, timeout=400, **{**PLAN, "repetitions": 60})
    n_done = cut.finals["repetition"].nunique()
    assert 0 < n_done < 60
    assert cut.is_cut
    (said,) = [warning for warning in cut.warnings() if "are complete" in warning]
    assert said.startswith(f"{n_done} of 60 repetitions are complete: the same command goes on; missing are ")
    assert said.endswith("-59")
    assert said.partition("missing are ")[2] == cut.made["missing"]


def test_what_is_missing_is_named_by_sampler_and_repetition(empty, tree):
    hpo.compare(tree, database=empty, **{**PLAN, "repetitions": 6})
    for seed in (1, 2, 5):
        empty.delete(f"{tree.name}/tpe/split{seed}-seed{seed}")
    asked = {**PLAN, "repetitions": 7, "runs_missing": False}
    cut = hpo.compare(tree, database=empty, **asked)
    words = dict(part.removeprefix("repetitions ").split(": ") for part in cut.made["missing"].split("; "))
    assert words == {"of tpe": "1-2, 5-6"} | {f"of {sampler}": "6" for sampler in PLAN["samplers"] if sampler != "tpe"}
    with pytest.raises(hpo.NotComparable, match=r"\(repetitions of .*qmc: 0-6.*\), such as"):
        hpo.compare(tree, database=empty, **{**asked, "samplers": [*PLAN["samplers"], "qmc"]})


def test_rows_in_time_order_have_one_split_and_say_so(empty):
    definition = tree_study(split=hpo.Holdout(0.2, 0.2, order="time"), metric="accuracy")
    comparison = hpo.compare(definition, database=empty, **PLAN)
    assert set(comparison.finals["split"]) == {0}
    assert any("all repetitions share one split" in warning for warning in comparison.warnings())
    assert not comparison.rules.paired


class NeverDeep(DecisionTreeClassifier):
    def fit(self, X, y):
        if self.max_depth > 1:
            raise ValueError("never")
        return super().fit(X, y)


def test_failures_are_shown_and_a_sampler_without_success_is_the_worst(empty):
    definition = tree_study(space={"max_depth": Int(1, 2)}, estimator=NeverDeep(max_depth=1))
    comparison = hpo.compare(definition, database=empty, **{**PLAN, "trials": 1, "samplers": ["random", "grid"]})
    finals = comparison.finals.set_index(["sampler", "repetition"])
    assert finals["failed"].sum() == finals["value"].isna().sum() > 0
    assert "trials of" in " ".join(comparison.warnings())
    assert comparison.failures["kind"].unique().tolist() == ["ValueError"]
    assert comparison.failures["count"].sum() == finals["failed"].sum()
    table = comparison.table.set_index("sampler")
    for repetition in range(3):
        ours, base = finals["value"]["grid", repetition], finals["value"]["random", repetition]
        if np.isnan(ours) and not np.isnan(base):
            assert table.loc["grid", "losses"] >= 1


def test_an_exhausted_grid_is_held_flat_and_flagged(empty):
    definition = tree_study(space={"max_depth": Int(1, 3)})
    comparison = hpo.compare(definition, database=empty, **{**PLAN, "samplers": ["random", "grid"]})
    assert "grid ran out of configurations before its budget: its curve is held flat" in comparison.warnings()
    medians = median_incumbents(comparison.curves)
    assert medians["grid"].notna().all() or medians["grid"].index.max() == 3


def test_the_median_incumbent_of_a_known_table():
    curves = pd.DataFrame(
        {
            "sampler": ["a"] * 6,
            "repetition": [0, 0, 1, 1, 2, 2],
            "trial": [1, 2, 1, 2, 1, 2],
            "incumbent": [-3.0, -1.0, -5.0, -5.0, -4.0, -2.0],
        }
    )
    assert median_incumbents(curves)["a"].tolist() == [-4.0, -2.0]


def test_the_picture_shows_errors_positive_and_every_sampler(comparison):
    picture = comparison.picture(width=90, color=False)
    assert "brier score" in picture
    assert "(lower is better)" in picture
    for sampler in PLAN["samplers"]:
        assert sampler in picture
    assert "-0." not in picture


def stepping(**ends):
    """Curves that fall from 1 to these ends in two steps, each sampler's a trial after those of the one before."""
    frames = [
        pd.DataFrame(
            {
                "sampler": sampler,
                "repetition": 0,
                "trial": range(1, 21),
                "incumbent": -np.repeat([1.0, (1 + end) / 2, end], [4 + i, 10, 6 - i]),
            }
        )
        for i, (sampler, end) in enumerate(ends.items())
    ]
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize("width", [50, 80, 110])
def test_the_picture_is_of_steps_that_can_be_followed(width):
    curves = stepping(random=0.6, tpe=0.2, qmc=0.4)
    lines = incumbents_text(curves, -0.8, Metric("neg_log_loss", -1), width=width, color=False).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].split() == ["log", "loss", "(lower", "is", "better)"]
    picture = lines[1:17]
    ends = {line.split()[-1]: i for i, line in enumerate(picture) if line.split()[-1] in ("random", "tpe", "qmc")}
    assert ends["random"] < ends["qmc"] < ends["tpe"]  # the lower the loss, the lower the line
    for sampler, (across, upper, lower) in {"random": "─┐└", "tpe": "━┓┗", "qmc": "═╗╚"}.items():
        assert across in picture[ends[sampler]]
        assert upper in "".join(picture)
        assert lower in "".join(picture)
    assert any("·" in line and line.endswith("reference") for line in picture)
    assert lines[-1] == "── random   ━━ tpe   ══ qmc   ·· reference"
    colored = incumbents_text(curves, -0.8, Metric("neg_log_loss", -1), width=width, color=True)
    assert "\x1b[34m" in colored
    assert "\x1b" not in "".join(lines)


def test_what_never_succeeds_has_a_name_and_no_curve():
    curves = stepping(random=0.6, tpe=0.2)
    curves.loc[curves["sampler"] == "tpe", "incumbent"] = np.nan
    picture = incumbents_text(curves, np.nan, Metric("neg_log_loss", -1), width=80, color=False)
    assert "━━ tpe" in picture
    assert "┗" not in picture
    nothing = incumbents_text(curves.assign(incumbent=np.nan), np.nan, Metric("r2", 1), width=80, color=False)
    assert "random" in nothing


def test_two_samplers_with_the_same_letters_have_different_marks():
    curves = pd.DataFrame(
        {
            "sampler": ["tpe"] * 2 + ["tpe(group=True)"] * 2,
            "repetition": 0,
            "trial": [1, 2] * 2,
            "incumbent": [1.0, 2, 3, 4],
        }
    )
    picture = incumbents_text(curves, 0.5, Metric("r2", 1), width=80, color=False)
    assert "── tpe   ━━ tpe(group=True)" in picture


def test_the_page_is_self_contained(comparison, tmp_path):
    comparison.to_html(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "src=" not in page.replace("src=i", "").partition("<script")[0]
    assert 'id="incumbents-trials"' in page
    for cell in comparison.rows()[1][0]:
        assert cell in page
    figure = comparison.figures["incumbents-trials"]
    assert [trace.name for trace in figure.data if trace.name] == list(comparison.finals["sampler"].unique())
    drawn = [trace for trace in figure.data if trace.name]
    assert all(min(trace.y) >= 0 for trace in drawn)  # errors positive


def test_names_are_escaped_in_the_page(empty, tmp_path):
    definition = tree_study(name="<script>alert(1)", space=FLAT)
    comparison = hpo.compare(definition, database=empty, **{**PLAN, "repetitions": 1, "trials": 2})
    comparison.to_html(tmp_path / "r.html")
    assert "<script>alert(1)" not in (tmp_path / "r.html").read_text()


class OnlyShallow(NeverDeep):
    """Fails with its own default depth, which is the reference."""

    def fit(self, X, y):
        if self.max_depth is None:
            raise ValueError("never")
        return DecisionTreeClassifier.fit(self, X, y)


def test_a_reference_that_fails_is_a_dash(empty, tmp_path):
    definition = tree_study(space={"max_depth": Int(1, 5)}, estimator=OnlyShallow())
    comparison = hpo.compare(definition, database=empty, **{**PLAN, "trials": 2, "samplers": ["random", "qmc"]})
    assert comparison.rows()[1][-1][:2] == ["reference", "-"]
    comparison.to_html(tmp_path / "r.html")
    assert "qmc" in comparison.picture(width=80, color=False)
