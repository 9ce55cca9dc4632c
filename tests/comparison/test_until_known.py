"""A comparison that stops by itself, and one to which repetitions are added: both remember that somebody looked."""

import numpy as np
import pytest
from conftest import tree_study
from sklearn.datasets import make_classification
from sklearn.tree import DecisionTreeClassifier

import hpo
from hpo import Categorical, Float, Holdout, StudyDefinition
from hpo.comparison.looks import looks_of
from hpo.comparison.plan import Plan
from hpo.comparison.questions import question
from hpo.comparison.verdicts import Rules, judge

PLAN = {"samplers": ["random", "qmc"], "trials": 2, "workers": 1, "progress": "none"}


class Known(DecisionTreeClassifier):
    """Its accuracy is its hyperparameter, whatever the rows are."""

    def __init__(self, quality=0.5, kind="a"):
        super().__init__()
        self.quality, self.kind = quality, kind


def told(model, X, y):
    return float(model.quality)


def known_study(name="known", **given):
    return StudyDefinition(
        name=name,
        data=lambda: make_classification(80, random_state=0),
        estimator=Known(),
        space={"quality": Float(0.0, 1.0), "kind": Categorical(["a", "b"])},
        metric=told,
        split=Holdout(0.2, 0.4),
        **given,
    )


@pytest.fixture
def database(tmp_path):
    with hpo.StudyDatabase(tmp_path / "study.db") as opened:
        yield opened


def test_it_stops_once_every_question_has_its_answer_and_goes_on_from_there(database, capsys):
    study = known_study(margin=0.9)  # any two are equivalent: known early
    found = hpo.compare(study, database=database, until_known=True, repetitions=60, **{**PLAN, "progress": "lines"})
    assert found.is_known
    assert 6 <= found.repetitions < 60
    assert not found.is_cut
    assert found.rules.looks == "any"
    assert found.verdicts["verdict"].tolist() == ["equivalent"]
    assert "qmc against random ████████████ equivalent" in capsys.readouterr().err
    n_trials = len(database.trials())
    again = hpo.compare(study, database=database, until_known=True, repetitions=60, **PLAN)
    assert again.repetitions == found.repetitions
    assert len(database.trials()) == n_trials  # known already: nothing is trained


def test_without_an_answer_it_goes_to_the_most_or_gives_up(database):
    found = hpo.compare(tree_study(), database=database, until_known=True, repetitions=9, **PLAN)
    assert found.repetitions <= 9
    answers = [question.answer for question in found.questions()]
    assert found.repetitions == 9 or all(answers)


@pytest.mark.parametrize(("n", "answer"), [(19, ""), (20, "not worth more")])
def test_it_gives_up_no_sooner_than_the_luck_of_the_rows_can_be_told_from_that_of_the_repetitions(n, answer):
    generator = np.random.default_rng(0)
    ours, theirs, by_row = generator.normal(size=n), generator.normal(size=n), generator.normal(size=60)
    rows, rules = {"a": by_row, "b": np.zeros(60)}, Rules(paired=True, looks="any")
    losses = {"a": ours, "b": theirs}
    (row,) = judge(losses, losses, rules, "b", rows=rows).to_dict("records")
    pair = ours, theirs
    found = question(row, pair, pair, (by_row, np.zeros(60)), rules, n_questions=1, most=30)
    assert found.answer == answer


def test_to_add_repetitions_by_hand_is_to_look_again(database):
    study = known_study()
    first = hpo.compare(study, database=database, repetitions=7, **PLAN)
    assert first.rules.looks == "once"
    assert hpo.compare(study, database=database, repetitions=7, **PLAN).rules.looks == "once"  # the same look
    more = hpo.compare(study, database=database, repetitions=9, **PLAN)
    assert more.rules.looks == "again"
    assert any("repetitions were added after a look" in warning for warning in more.warnings())
    assert "half of alpha being spent" in more.made["looks"]
    assert more.verdicts["p_holm"].iloc[0] >= first.verdicts["p_holm"].iloc[0] / 10
    assert hpo.compare(study, database=database, repetitions=7, **PLAN).rules.looks == "once"  # as it was seen first
    others = hpo.compare(study, database=database, repetitions=9, **{**PLAN, "trials": 1})
    assert others.rules.looks == "once"  # another budget is another comparison


def test_a_look_at_which_nothing_could_be_real_spends_nothing(database):
    study = known_study()
    hpo.compare(study, database=database, repetitions=3, **PLAN)
    assert database.looks("known") == []
    assert hpo.compare(study, database=database, repetitions=7, **PLAN).rules.looks == "once"


def test_a_part_of_what_was_planned_is_judged_as_at_any_look(database):
    plan = Plan.of(known_study(), ["random", "qmc"], repetitions=20, trials=4)
    assert looks_of(database, "known", plan, 20) == "once"
    assert looks_of(database, "known", plan, 12) == "any"


def test_a_pool_of_random_trials_is_not_compared(database):
    study = known_study()
    found = hpo.compare(study, database=database, repetitions=3, pool=3, **PLAN)
    trials = database.trials()
    assert (trials[trials["sampler"] == "random"].groupby("seed").size() == 6).all()
    assert (found.table["trials"] == 6).all()  # 3 repetitions of 2
    assert found.table.set_index("sampler").loc["qmc", "pool"] == 6
    alone = hpo.compare(study, database=database, repetitions=3, **PLAN)
    assert found.table[["median", "best"]].equals(alone.table[["median", "best"]])
    others = {**PLAN, "samplers": ["qmc", "tpe"], "baseline": "qmc"}
    pooled = hpo.compare(study, database=database, repetitions=3, pool=2, **others)
    assert pooled.table.set_index("sampler").loc["tpe", "pool"] == 6 + 2  # random's 6 and qmc's 2
    with pytest.raises(hpo.InvalidOption, match="random trials are pooled by split"):
        hpo.compare(study, database=database, repetitions=3, pool=2, resplit=False, **PLAN)
    with pytest.raises(hpo.InvalidOption, match="pool=0: give a whole number, 1 or more"):
        hpo.compare(study, database=database, repetitions=3, pool=0, **PLAN)
