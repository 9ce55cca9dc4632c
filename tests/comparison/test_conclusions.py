"""What a comparison concludes, and says, from trials whose answers are known."""

import numpy as np
import pandas as pd
import pytest
from conftest import tree_study
from test_measures import trials_of

import hpo
from hpo.comparison.across import AcrossStudies
from hpo.comparison.plan import Plan
from hpo.comparison.result import Comparison

S = 20
RNG = np.random.default_rng(1)
LUCK = RNG.normal(0, 1e-3, (S, 8))
ROWS = np.tile([-1.0, 1.0], 25)  # how much harder each test row is than the mean


def made(runs, **given):
    """A comparison of runs given as {sampler: array of shape (repetitions, trials)}, on validation and on the test."""
    return Comparison(**parts(runs, **given))


def parts(runs, *, reference=None, tests=True, definition=None, shift=0.0, luck=0.01, **plan):
    """What such a comparison is made of."""
    definition = definition or tree_study(metric="neg_log_loss")
    n, budget = next(iter(runs.values())).shape
    plan = Plan.of(definition, list(runs), **{"repetitions": n, "trials": budget, **plan})
    given = {
        (sampler, r): [None if np.isnan(v) else v for v in row]
        for sampler, rows in runs.items()
        for r, row in enumerate(rows)
    }
    trials = trials_of(given).rename(columns={"repetition": "seed"})
    usual = trials_of({("reference", r): [-2.0 if reference is None else reference] for r in range(n)})
    usual = usual.rename(columns={"repetition": "seed"}).assign(seed=0)
    if not plan.resplit:
        trials["split"], usual = 0, usual[usual["split"] == 0]
    frame = pd.concat([trials, usual], ignore_index=True)
    scored = {(row.split, row.configuration): row.value + shift for row in frame.itertuples()} if tests else {}
    rows = {place: score + luck * ROWS for place, score in scored.items()} if luck is not None else {}
    return {
        "definition": definition, "study": "study", "plan": plan, "trials": frame, "tests": scored,
        "made": {"versions": "hpo 1"}, "n_opened": len(scored), "rows": rows,
    }  # fmt: skip


def rising(*ends, n=S, trials=8):
    """Runs that end at these values, each repetition a little apart."""
    return [np.sort(-2 + (end + 2) * np.arange(1, trials + 1) / trials + LUCK[:n], axis=1) for end in ends]


def test_a_sampler_that_always_wins_is_real_and_recommended():
    good, bad = rising(-0.5, -1.0)
    comparison = made({"random": bad, "tpe": good})
    (row,) = comparison.verdicts.to_dict("records")
    assert (row["verdict"], row["better"], row["superiority"]) == ("real", "tpe", 1.0)
    assert comparison.recommended == "tpe"
    said = comparison.sentences()
    assert said[0].startswith("Tuning is worth it on study: held-out log loss 0.50")
    assert "against 2.000 ± 0.0029 with the reference; it is better in 100% of 20 repetitions [84, 100]" in said[0]
    assert said[1].startswith(
        "tpe beats random: real. tpe wins 100% of 20 repetitions [84, 100], held-out log loss 0.50"
    )
    assert said[1].endswith(
        "random would need at least 4.9x the trials, by its rank among 8 random trials on each split."
    )
    assert said[2] == "Use tpe: of the samplers shown to be better than random it has the best median."
    table = comparison.table.set_index("sampler")
    assert table.loc["tpe", "speedup"] == np.inf
    assert table.loc["tpe", ["wins", "ties", "losses"]].tolist() == [20, 0, 0]
    assert comparison.budgets["choose"].tolist() == ["tpe"]
    assert comparison.command == "hpo run study --sampler tpe --trials 8"


def test_a_sampler_that_always_loses_is_shown_to_and_not_chosen():
    good, bad = rising(-0.5, -1.0)
    comparison = made({"random": good, "tpe": bad})
    assert comparison.verdicts["better"].tolist() == ["random"]
    assert comparison.sentences()[1].startswith("random beats tpe: real. tpe wins 0% of 20 repetitions [0, 16]")
    assert comparison.recommended == "random"


def test_what_validation_shows_and_the_test_does_not_is_not_real():
    good, bad = rising(-0.5, -1.0)
    again = scored_anew({"random": bad, "tpe": good}, noise)
    assert again.verdicts["verdict"].tolist() == ["inconclusive"]
    assert "test difference" in again.sentences()[1]
    assert again.recommended == "random"


def scored_anew(runs, score):
    """A comparison whose scores on the test rows are a function of those on validation rows."""
    given = parts(runs)
    frame = given["trials"]
    tests = {(row.split, row.configuration): score(row.value) for row in frame.itertuples()}
    return Comparison(**given | {"tests": tests, "rows": None, "n_opened": 0})


def noise(value):
    return float(RNG.normal())


def the_reverse(value):
    return -value


def test_without_the_test_verdicts_rest_on_validation_and_it_is_said():
    good, bad = rising(-0.5, -1.0)
    comparison = made({"random": bad, "tpe": good}, tests=False)
    assert comparison.verdicts["verdict"].tolist() == ["real"]
    assert any("the sealed test rows were not scored" in warning for warning in comparison.warnings())
    assert "log loss on validation rows" in comparison.sentences()[0]
    assert comparison.table["test"].isna().all()


def test_within_the_margin_two_samplers_are_equivalent_and_never_without_one():
    one, other = rising(-0.5, -0.5)
    other = np.sort(other + RNG.normal(0, 1e-3, other.shape), axis=1)
    said = made({"random": one, "tpe": other}, margin=0.1).sentences()[1]
    assert said.startswith(
        "tpe and random are equivalent: their difference in held-out log loss is within the margin of 0.1"
    )
    assert "equivalent" not in made({"random": one, "tpe": other}).verdicts["verdict"].tolist()
    assert (
        made({"random": one, "tpe": other}, definition=tree_study(metric="neg_log_loss", margin=0.1)).plan.margin == 0.1
    )


def test_all_equal_is_no_difference():
    (same,) = rising(-0.5)
    comparison = made({"random": same, "tpe": same.copy()})
    assert comparison.sentences()[1] == "tpe and random: no difference, every repetition ends the same."
    assert comparison.table.set_index("sampler").loc["tpe", "speedup"] != 1  # withheld: all tie
    assert any("the objective is saturated" in warning for warning in comparison.warnings())


def test_one_repetition_shows_curves_and_nothing_more():
    good, bad = rising(-0.5, -1.0, n=1)
    comparison = made({"random": bad, "tpe": good})
    assert "one repetition: no interval, no p-value, and nothing is called better" in comparison.warnings()
    assert comparison.sentences() == [
        f"study: held-out log loss {-bad.max():#.4g} ± 0.0029 with random against 2.000 ± 0.0029 with the reference, "
        "in one repetition: no verdict.",
        "tpe against random: one repetition shows curves and nothing more.",
    ]
    assert comparison.verdicts.drop(columns=["sampler", "against", "verdict", "reason", "better"]).isna().all(axis=None)
    assert "superiority" not in comparison.figures


@pytest.mark.parametrize(
    ("n", "warning"), [(5, "5 repetitions can never reach significance"), (8, "8 repetitions are few"), (S, None)]
)
def test_few_repetitions_are_warned_of(n, warning):
    good, bad = rising(-0.5, -1.0, n=n)
    found = [w for w in made({"random": bad, "tpe": good}).warnings() if "repetitions" in w]
    assert [w.startswith(warning) for w in found] == [True] if warning else found == []


def test_a_sampler_without_success_is_the_worst_and_not_dropped():
    (good,) = rising(-0.5)
    comparison = made({"random": good, "tpe": np.full_like(good, np.nan)})
    assert comparison.verdicts["better"].tolist() == ["random"]
    table = comparison.table.set_index("sampler")
    assert table.loc["tpe", "losses"] == S
    assert np.isnan(table.loc["tpe", "median"])
    assert comparison.failures["count"].sum() == S * 8
    assert any(warning.startswith("160 of 160 trials of tpe failed") for warning in comparison.warnings())
    for figure in comparison.figures.values():
        figure.to_json()


def test_on_one_split_a_deterministic_sampler_is_one_run():
    good, bad = rising(-0.5, -1.0)
    comparison = made({"random": bad, "tpe": np.repeat(good[:1], S, axis=0)}, resplit=False)
    assert comparison.deterministic == {"tpe"}
    (row,) = comparison.verdicts.to_dict("records")
    assert row["verdict"] == "inconclusive"
    assert np.isnan(row["p_value"])
    assert any("is better than 100% of the runs of random" in warning for warning in comparison.warnings())
    paired = made({"random": bad, "tpe": np.repeat(good[:1], S, axis=0)})
    assert paired.verdicts["verdict"].tolist() == ["real"]  # each repetition has rows of its own


def test_one_split_is_compared_unpaired_and_says_what_it_covers():
    good, bad = rising(-0.5, -1.0)
    comparison = made({"random": bad, "tpe": good}, resplit=False)
    assert not comparison.rules.paired
    assert "tpe wins 100% of pairs of runs" in comparison.sentences()[1]
    assert any("covers the samplers' randomness on it only" in warning for warning in comparison.warnings())


def test_two_samplers_that_propose_the_same_are_named():
    good, bad = rising(-0.5, -1.0)
    given = parts({"random": bad, "tpe": good})
    assert Comparison(**given).twins() == []
    is_of_runs = given["trials"]["sampler"] != "reference"
    given["trials"].loc[is_of_runs, "configuration"] = given["trials"]["number"].astype(str)
    comparison = Comparison(**given)
    assert comparison.twins() == [("random", "tpe")]
    assert "random and tpe propose the same trials: check their seeds" in comparison.warnings()


def test_overtuning_is_warned_of():
    good, bad = rising(-0.5, -1.0)
    falling = scored_anew({"random": bad, "tpe": good}, the_reverse)  # the better, the worse
    assert (falling.overtuning["overtuning"] > 0).all()
    noisy = scored_anew({"random": bad, "tpe": good}, noise)
    assert noisy.overtuning["relative"].dropna().gt(1).any()
    assert any("overtunes" in warning for warning in noisy.warnings())


def test_a_run_whose_first_incumbent_is_the_best_on_the_test_counts_as_overtuned():
    good, bad = rising(-0.5, -1.0)
    found = scored_anew({"random": bad, "tpe": good}, the_reverse)  # the first is the best
    assert found.overtuning["relative"].isna().all()
    assert found.overtuning["is_worse"].all()
    assert (found.table["overtuned"] == 1).all()


# --- is tuning worth it ---


def worth_of(comparison, sampler="tpe"):
    return comparison.worth.set_index("sampler").loc[sampler]


def test_what_other_test_rows_could_turn_round_is_not_worth_it():
    good, bad = rising(-0.5, -1.0)
    sure = made({"random": bad, "tpe": good}, reference=-0.6)
    assert worth_of(sure)["better"] == "tpe"
    # 50 rows, of which half are better by 1 with the tuned configuration, and half with the reference
    given = parts({"random": bad, "tpe": good}, reference=-0.6)
    tests = given["tests"]
    rows = {place: score + ROWS * (not np.isclose(score, -0.6)) for place, score in tests.items()}
    lucky = Comparison(**given | {"rows": rows})
    assert worth_of(lucky)["verdict"] == "inconclusive"
    said = lucky.sentences()[0]
    assert said.startswith("Too early to say whether tuning study is worth it")
    assert "could be 0; more repetitions would not tell, more test rows might" in said
    assert lucky.verdicts["verdict"].tolist() == ["real"]  # between two that are tuned the rows' luck cancels


def test_without_the_scores_by_row_it_is_not_told_and_said():
    good, bad = rising(-0.5, -1.0)
    old = made({"random": bad, "tpe": good}, luck=None)
    assert worth_of(old)["verdict"] == "inconclusive"
    assert "how much of it is the luck of the test rows is not known" in old.sentences()[0]
    assert any("not known row by row" in warning for warning in old.warnings())
    assert "±" not in " ".join(old.sentences())
    unscored = made({"random": bad, "tpe": good}, tests=False)
    assert worth_of(unscored)["better"] is None
    assert "validation rows flatter what was chosen by them" in unscored.sentences()[0]


def test_tuning_that_does_harm_is_said_to():
    good, bad = rising(-0.5, -1.0)
    said = made({"random": bad, "tpe": good}, reference=-0.1).sentences()[0]
    assert said.startswith("Tuning does harm on study")
    assert "it is better in 0% of 20 repetitions" in said


# --- how far the answers are ---


def test_questions_have_answers_or_a_share():
    good, bad = rising(-0.5, -1.0)
    known = made({"random": bad, "tpe": good}, repetitions=100)
    assert [(q.name, q.answer, q.share) for q in known.questions()] == [
        ("tuning with tpe", "real", 1.0), ("tpe against random", "real", 1.0),
    ]  # fmt: skip
    assert known.is_known
    hardly = made({"random": bad, "tpe": bad + RNG.normal(0, 1, (S, 1))}, repetitions=S + 4)
    (pair,) = hardly.questions()[1:]
    assert pair.answer == "not worth more"
    hopeful = bad + np.where(np.arange(S) % 5 < 3, 0.3, -0.3)[:, None]
    open_question = made({"random": bad, "tpe": hopeful}, repetitions=200).questions()[1]
    assert open_question.answer == ""
    assert 0 < open_question.share < 1
    assert open_question.bar.startswith("tpe against random █")


def test_numbers_that_were_not_computed_and_those_that_are_not_reached_differ_in_json():
    good, bad = rising(-0.5, -1.0)
    table = made({"random": good, "tpe": bad}).records()["table"]
    tpe, random = table[1], table[0]
    assert tpe["time_to_target"] == "infinity"
    assert random["time_to_target"] is None
    assert made({"random": bad, "tpe": good}).records()["table"][1]["speedup"] == "infinity"


def test_all_pairs_are_compared_without_a_baseline():
    a, b, c = rising(-0.5, -1.0, -1.5)
    comparison = made({"random": a, "tpe": b, "qmc": c}, baseline=None)
    assert len(comparison.verdicts) == 3
    assert comparison.recommended == "random"
    assert comparison.table["wins"].isna().all()
    assert comparison.table["verdict"].isna().all()
    header, rows = comparison.rows()
    assert all(len(row) == len(header) for row in rows)
    assert "The lowest median is that of random." in comparison.sentences()


def test_without_random_search_there_is_no_target_and_no_speedup():
    a, b = rising(-0.5, -1.0)
    comparison = made({"qmc": b, "tpe": a}, baseline="qmc")
    assert comparison.times.empty
    assert comparison.table[["speedup", "effort", "success_rate"]].isna().all(axis=None)
    assert "random" not in " ".join(comparison.sentences())
    header, rows = comparison.rows()
    assert all(len(row) == len(header) for row in rows)


def test_a_smaller_budget_has_verdicts_of_its_own():
    slow = np.full((S, 30), -1.5) + LUCK[:, :1]
    slow[:, 25:] = -0.1 + LUCK[:, 1:2]
    fast = np.full((S, 30), -1.0) + LUCK[:, 2:3]
    comparison = made({"random": fast, "tpe": slow})
    assert comparison.budgets.set_index("trials")["choose"].to_dict() == {20: "random", 30: "tpe"}
    assert comparison.verdicts_at(20)["better"].tolist() == ["random"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"margin": 0}, "margin=0: give a number above 0, in the metric's units"),
        ({"alpha": 1.5}, "alpha=1.5: give a number above 0, and below 1"),
        ({"baseline": "gp"}, "baseline='gp' is not among the samplers random, tpe; None compares all pairs"),
    ],
)
def test_a_plan_refuses_in_one_line(given, message):
    with pytest.raises(hpo.InvalidOption, match=message.replace("(", r"\(")):
        Plan.of(tree_study(), ["random", "tpe"], repetitions=3, trials=3, **given)


# --- several studies ---


def several(n, better="tpe"):
    found = []
    for i in range(n):
        good, bad = rising(-0.5 - i / 10, -1.0 - i / 10)
        comparison = made({"random": bad, "tpe": good} if better == "tpe" else {"random": good, "tpe": bad})
        comparison.study = f"study-{i}"
        found.append(comparison)
    return found


def test_ranks_are_shown_from_five_studies_on():
    few = AcrossStudies(several(4))
    assert few.sentences() == ["Ranks across studies are shown from 5 studies on; these are 4."]
    assert few.verdicts.empty
    assert few.figures == {}
    enough = AcrossStudies(several(6))
    assert enough.ranks.to_dict("records") == [{"sampler": "tpe", "rank": 1.0}, {"sampler": "random", "rank": 2.0}]
    assert enough.sentences()[0] == "Mean ranks over 6 studies (1 is best): tpe 1.00, random 2.00."
    assert enough.sentences()[1] == "tpe beats random across studies (p = 0.031 after Holm)."
    assert set(enough.figures) == {"ranks"}
    five = AcrossStudies(several(5))
    assert (
        five.sentences()[1] == "5 studies can never reach significance with 1 comparison: 6 is the minimum."
    )  # p >= 1/16


def test_studies_whose_comparisons_differ_are_not_ranked():
    (one,) = several(1)
    other = made(dict(zip(("random", "tpe"), (runs[:, :4] for runs in rising(-0.5, -1.0)), strict=True)))
    other.study = "other"
    with pytest.raises(hpo.NotComparable, match="study-0 and other differ in their budget: 8 and 4"):
        AcrossStudies([one, other])
    with pytest.raises(hpo.NotComparable, match="a study is there twice: study-0, study-0"):
        AcrossStudies([one, one])


def test_the_page_of_several_studies_has_a_section_each(tmp_path):
    AcrossStudies(several(5)).to_html(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert page.count("<h2>") == 6
    assert "Mean ranks over 5 studies" in page
    assert page.count("plotly.js v") == 1


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_table_fits_the_terminal(width, monkeypatch):
    from rich.console import Console

    from hpo.cli import text

    good, bad = rising(-0.5, -1.0)
    comparison = made({"random": bad, "tpe": good})
    monkeypatch.setattr(text, "console", Console(width=width, highlight=False, record=True, force_terminal=True))
    text.show_comparison(comparison)
    lines = text.console.export_text().splitlines()
    head = next(line for line in lines if line.strip().startswith("sampler"))
    assert "verdict" in head
    assert "held-out" in head
    assert ("sampler time" in head) is (width == 200)
    assert "memory" not in head  # nothing is known of it
    rows = [line for line in lines if line.strip().startswith(("random ", "tpe ", "reference "))]
    assert len(rows) >= 3  # no cell is broken into several lines
    assert max(map(len, lines)) <= width


def test_the_table_for_people_has_no_column_without_content():
    found = hpo.compare(
        "wine-tree",
        samplers=["random", "tpe"],
        repetitions=2,
        trials=2,
        workers=1,
        database=":memory:",
        progress="none",
    )
    header, cells = found.rows()
    assert "held-out" not in header  # two repetitions open no test
    assert all(any(line[i] not in ("", "-") for line in cells) for i in range(len(header)))
