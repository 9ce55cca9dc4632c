"""What the optimizer believes: `hpo show --surrogate`."""

import numpy as np
import pytest
from conftest import tree_study

import hpo
from hpo import Categorical, Int
from hpo.analysis.landscape import landscape
from hpo.cli.main import command
from hpo.samplers.bayesian.targets import scores_at, targets


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("landscape")
    with hpo.StudyDatabase(folder / "study.db") as database:
        yield hpo.run(tree_study(), sampler="auto", trials=24, database=database, progress="none")


def test_targets_are_turned_back_into_scores():
    scores = np.random.default_rng(0).standard_t(2, 31)
    np.testing.assert_allclose(scores_at(targets(scores), scores), scores, atol=1e-6)
    beyond = scores_at(np.array([targets(scores).max() + 0.5, -9.0]), scores)
    assert beyond[0] > scores.max()
    assert beyond[1] == scores.min()
    assert scores_at(np.zeros(2), np.ones(3)).tolist() == [1.0, 1.0]


def test_it_expects_of_what_was_tried_about_what_came(run):
    found = landscape(run, ["max_depth"])
    assert list(found.frame["max_depth"]) == list(range(1, 9))
    best = run.best
    there = found.frame[found.frame["max_depth"] == best.configuration["max_depth"]].iloc[0]
    spread = run.trials["value"].std()
    assert abs(there["expected"] - best.value) < spread
    assert (found.frame["low"] <= found.frame["expected"]).all()
    assert (found.frame["expected"] <= found.frame["high"]).all()


def test_where_it_would_look_next_is_where_it_looks(run):
    said = landscape(run, ["ccp_alpha"])
    longer = hpo.run(tree_study(), sampler="auto", trials=len(run.trials) + 1, database=run.database, progress="none")
    assert longer.trial(len(run.trials) - 1).configuration == pytest.approx(said.next)


def test_two_hyperparameters_are_lines_over_the_first(run):
    found = landscape(run, ["ccp_alpha", "criterion"])
    assert len(found.frame) == 41 * 3
    assert [line.name for line in found.chart.lines] == [
        "criterion entropy", "criterion gini", "criterion log_loss", "trials"
    ]  # fmt: skip
    assert found.chart.is_log
    swapped = landscape(run, ["criterion", "ccp_alpha"])
    assert list(swapped.chart.ticks.values()) == ["entropy", "gini", "log_loss"]
    assert len(swapped.frame) == 3 * 4


def test_a_hyperparameter_that_the_best_trial_lacks_is_shown_for_the_best_that_has_it(run):
    found = landscape(run, ["max_features"])
    assert "max_features" in run.trial(found.trial).configuration


def test_a_space_that_is_exhausted_has_no_next(tmp_path):
    space = {"max_depth": Int(1, 3), "criterion": Categorical(["gini", "entropy"])}
    with hpo.StudyDatabase(tmp_path / "study.db") as database:
        run = hpo.run(tree_study(space=space), sampler="auto", trials=9, database=database, progress="none")
        assert len(run.trials) == 6
        assert landscape(run, ["max_depth"]).sentences[1] == "every configuration has been tried"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["depth"], "there is no hyperparameter 'depth'; did you mean max_depth"),
        (["max_depth", "ccp_alpha", "criterion"], "give one hyperparameter, or two that differ"),
    ],
)
def test_what_cannot_be_shown_is_refused(run, names, message):
    with pytest.raises(hpo.InvalidOption, match=message):
        landscape(run, names)


def test_too_few_trials_are_refused(database):
    run = hpo.run(tree_study(), sampler="tpe", trials=3, database=database, progress="none")
    with pytest.raises(hpo.InvalidOption, match="has 3 trials: a belief needs 4 or more"):
        landscape(run, ["max_depth"])


def test_the_command_draws_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(["run", "wine-tree", "--sampler", "tpe", "--trials", "12", "--progress", "none"]) == 0
    asked = ["show", "wine-tree/tpe/split0-seed0", "--surrogate", "max_depth"]
    assert command([*asked, "--figure", "belief.html"]) == 0
    printed = capsys.readouterr().out
    assert "auto would look next at" in printed
    assert "expected best at max_depth" in printed
    assert "What the optimizer believes of max_depth" in (tmp_path / "belief.html").read_text()
    assert command([*asked, "--training"]) == 2
