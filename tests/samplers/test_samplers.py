"""Every row of the samplers table keeps the same promises; a new row joins without a line of test code."""

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import optuna
import pytest
from conftest import CONDITIONAL, FLAT, same_trials, tree_study
from optuna.testing.pytest_samplers import BasicSamplerTestCase

import hpo
from hpo import Categorical, Float, Int, SearchSpace
from hpo.database.run_name import RunName
from hpo.evaluation.results import Evaluation
from hpo.samplers.ask_tell import WorkingStudy
from hpo.samplers.qmc import QMCSampler
from hpo.samplers.table import SAMPLERS, derive_seed, find_sampler

N = 26  # more than every sampler's start-up, so that each has modelled something


def nsga2(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.NSGAIISampler(population_size=6, seed=seed)


def brute_force(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.BruteForceSampler(seed=seed)


def only_small(seed: int) -> optuna.samplers.BaseSampler:
    if seed > 1000:
        raise OverflowError("seeds\nmust be small")
    return optuna.samplers.RandomSampler(seed=seed)


def available(name: str):
    module = SAMPLERS[name].module
    missing = module is not None and importlib.util.find_spec(module) is None
    return pytest.param(
        name, marks=pytest.mark.skipif(missing, reason=f"{name} needs {module}: pip install '.[torch]'")
    )


EVERY = [available(name) for name in SAMPLERS]
EVERY_AND_FACTORY = [*EVERY, pytest.param(nsga2, id="nsga2")]


def space_for(sampler) -> SearchSpace:
    supports = callable(sampler) or SAMPLERS[sampler].supports_conditions
    return SearchSpace(CONDITIONAL if supports else FLAT)


def loss(configuration: dict) -> float:
    """A bowl: cheap, and best at one place."""
    if "max_depth" not in configuration:
        return 0.0
    depth, leaf = configuration["max_depth"], configuration["min_samples_leaf"]
    return (depth - 4) ** 2 / 10 + math.log(leaf / 3) ** 2 + (math.log10(configuration["ccp_alpha"]) + 2) ** 2


def propose(space, sampler, n, *, seed=0, fail=lambda number: False, sign=1.0, shift=0.0):
    run = RunName("s", 1, find_sampler(sampler).label, 0, seed)
    working = WorkingStudy(run, space, find_sampler(sampler))
    proposed = []
    for _ in range(n):
        proposal = working.propose()
        proposed.append(proposal.configuration)
        if fail(proposal.number):
            evaluation = Evaluation(None, error="ValueError: on purpose")
        else:
            evaluation = Evaluation(shift - sign * loss(proposal.configuration))
        working.tell(proposal, evaluation)
    return proposed


@pytest.mark.parametrize("sampler", EVERY_AND_FACTORY)
def test_proposals_are_inside_the_space_and_of_native_types(sampler):
    space = space_for(sampler)
    for configuration in propose(space, sampler, N):
        assert space.check(configuration) == configuration
        assert all(type(value) in (int, float, str) for value in configuration.values())


@pytest.mark.parametrize("sampler", EVERY_AND_FACTORY)
def test_same_seed_same_trials_other_seed_other_trials(sampler):
    space = space_for(sampler)
    first = propose(space, sampler, N)
    assert propose(space, sampler, N) == first
    assert propose(space, sampler, N, seed=1) != first


@pytest.mark.parametrize("sampler", EVERY_AND_FACTORY)
def test_the_order_in_which_the_space_is_written_does_not_matter(sampler):
    space = space_for(sampler)
    turned = {
        name: Categorical(list(reversed(parameter.choices)), when=parameter.when)
        if isinstance(parameter, Categorical)
        else parameter
        for name, parameter in reversed(space.parameters.items())
    }
    assert propose(SearchSpace(turned), sampler, N) == propose(space, sampler, N)


@pytest.mark.parametrize("sampler", EVERY_AND_FACTORY)
def test_shifted_scores_give_the_same_trials(sampler):
    space = space_for(sampler)
    if sampler == "gp":
        pytest.skip("a Gaussian process standardises its scores in floating point: a shift moves the last digits")
    assert propose(space, sampler, N, shift=1024.0) == propose(space, sampler, N)


@pytest.mark.parametrize("sampler", EVERY_AND_FACTORY)
def test_failures_are_survived(sampler):
    proposed = propose(space_for(sampler), sampler, N, fail=lambda number: number % 3 == 0)
    assert len(proposed) == N


@pytest.mark.parametrize("sampler", EVERY_AND_FACTORY)
def test_resumed_equals_uninterrupted(sampler, tmp_path):
    definition = tree_study(space=space_for(sampler))
    whole = hpo.run(definition, sampler=sampler, trials=N, database=tmp_path / "a.db", progress="none", reuse=False)
    for n in (1, 2, 7, 13, 21, N):
        parts = hpo.run(definition, sampler=sampler, trials=n, database=tmp_path / "b.db", progress="none", reuse=False)
        parts.database.close()
    assert same_trials(parts.trials) == same_trials(whole.trials)
    assert len(whole.trials) == N


def test_same_trials_across_processes_and_hash_seeds(tmp_path):
    names = [
        name for name in SAMPLERS if SAMPLERS[name].module is None or importlib.util.find_spec(SAMPLERS[name].module)
    ]
    script = tmp_path / "study.py"
    script.write_text(
        textwrap.dedent(f"""
        import json, sys
        sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
        from test_samplers import propose, space_for
        print(json.dumps([propose(space_for(name), name, {N}) for name in {names}]))
        """)
    )
    here = [propose(space_for(name), name, N) for name in names]
    for hash_seed in ("0", "12345"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True, timeout=240
        )
        assert json.loads(done.stdout) == here


@pytest.mark.parametrize("sampler", [available(name) for name in ("tpe", "auto", "gp", "cmaes")])
def test_models_beat_random_on_a_bowl(sampler):
    """A sampler that ignored what it is told would win half of the time: 8 of 8 by chance is 1 in 256."""
    space = SearchSpace(FLAT)
    wins = sum(
        min(map(loss, propose(space, sampler, 60, seed=seed))) < min(map(loss, propose(space, "random", 60, seed=seed)))
        for seed in range(8 if sampler != "gp" else 2)
    )
    assert wins >= (6 if sampler != "gp" else 2)


def test_random_and_tpe_share_no_trials():
    space = SearchSpace(FLAT)
    assert not [c for c in propose(space, "random", 10) if c in propose(space, "tpe", 10)]


def test_seeds_of_different_parts_differ():
    seeds = {derive_seed(*parts) for parts in [("a", 1), ("a", 2), ("b", 1), ("a1",), ("a", 1, 0), ("a", 10)]}
    assert len(seeds) == 6


# --- qmc ---


def test_qmc_is_a_scrambled_sobol_sequence():
    import numpy as np
    from scipy.stats import qmc

    space = SearchSpace({name: Float(0.0, 1.0) for name in "abc"})
    points = np.array([[c[name] for name in "abc"] for c in propose(space, "qmc", 128)])
    expected = qmc.Sobol(3, scramble=True, rng=derive_seed("s", "qmc", 0)).random(128)
    np.testing.assert_allclose(points, expected, atol=1e-15)
    random = np.array([[c[name] for name in "abc"] for c in propose(space, "random", 128)])
    assert qmc.discrepancy(points) < qmc.discrepancy(random) / 5


def test_qmc_covers_each_choice_of_a_conditional_space_evenly():
    space = SearchSpace(CONDITIONAL)
    kinds = [c["splitter"] for c in propose(space, "qmc", 64)]
    assert kinds.count("best") == 32


# --- asking for a sampler ---


def test_label_names_the_options_in_one_order():
    assert find_sampler("tpe(n_startup_trials = 5, group=True)").label == "tpe(group=True,n_startup_trials=5)"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("nope", hpo.UnknownSampler, "known: grid, random, tpe, auto, qmc, cmaes, gp"),
        ("tpe(x=1)", hpo.InvalidOption, "tpe has no option 'x': its options are n_startup_trials"),
        ("random(x=1)", hpo.InvalidOption, "random has no option 'x': it has none"),
        ("tpe(5)", hpo.InvalidOption, "write options as in tpe"),
        ("tpe(n_startup_trials=", hpo.InvalidOption, "write options as in tpe"),
        ('tpe(n_startup_trials="x")', hpo.InvalidOption, "tpe(n_startup_trials='x'): give a whole number, 1 or more"),
        ("tpe(group=1)", hpo.InvalidOption, "tpe(group=1): give True or False"),
        ("cmaes(popsize=1)", hpo.InvalidOption, "cmaes(popsize=1): give a whole number, 2 or more"),
        (lambda seed: None, hpo.InvalidOption, "cannot name a run"),
        (3, hpo.UnknownSampler, "a sampler is a name or a factory"),
    ],
)
def test_unknown_samplers_and_options_are_refused(given, error, message):
    with pytest.raises(error, match=re.escape(message)):
        find_sampler(given)


@pytest.mark.parametrize(
    ("sampler", "space", "message"),
    [
        ("cmaes", CONDITIONAL, "cmaes cannot search hyperparameters that exist only under others"),
        (
            "cmaes",
            {"a": Categorical([1, 2]), "b": Int(1, 3)},
            "needs 2 numeric hyperparameters or more, and there are 1",
        ),
        ("cmaes(use_separable_cma=True,with_margin=True)", FLAT, "are refused"),
        (
            brute_force,
            FLAT,
            "brute_force cannot search this space .*step must be given.*; use grid, random, tpe, auto, qmc",
        ),
        (only_small, FLAT, r"only_small.seed. raised OverflowError for the seed \d+: seeds must be small"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_fit(sampler, space, message):
    with pytest.raises(hpo.HpoError, match=message):
        find_sampler(sampler).check(SearchSpace(space))


def test_gp_without_torch_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        hpo.UnsuitableSampler, match=r"gp needs torch, which is not installed: pip install 'hpo-studies\[torch\]'"
    ):
        find_sampler("gp").check(SearchSpace(FLAT))


def test_a_factory_that_returns_no_sampler_is_refused():
    def broken(seed):
        return "no"

    with pytest.raises(hpo.UnsuitableSampler, match=r"broken\(seed\) returned a str"):
        find_sampler(broken).check(SearchSpace(FLAT))


def test_another_factory_of_the_same_name_is_another_sampler(tmp_path, tree):
    def mine(seed):
        return optuna.samplers.RandomSampler(seed=seed)

    hpo.run(tree, sampler=mine, trials=2, database=tmp_path / "a.db", progress="none")

    def mine(seed):
        return optuna.samplers.RandomSampler(seed=seed + 1)

    with pytest.raises(hpo.StudyChanged, match="sampler"):
        hpo.run(tree, sampler=mine, trials=4, database=tmp_path / "a.db", progress="none")


def test_a_sampler_comes_through_an_entry_point(tmp_path, monkeypatch, tree):
    (tmp_path / "added.py").write_text(
        "import optuna\ndef make(seed):\n    return optuna.samplers.RandomSampler(seed=seed)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = EntryPoint(name="halton", value="added:make", group="hpo.samplers")
    monkeypatch.setattr("hpo.samplers.table.entry_points", lambda group: [found])
    run = hpo.run(tree, sampler="halton", trials=3, database=tmp_path / "a.db", progress="none")
    assert run.name.sampler == "halton"
    assert len(run.trials) == 3
    with pytest.raises(hpo.InvalidOption, match="halton, which added:make adds, takes no options: write halton"):
        find_sampler("halton(x=1)")


def test_an_entry_point_that_cannot_be_loaded_or_hides_a_sampler(monkeypatch):
    found = [EntryPoint(name=name, value="no_such:make", group="hpo.samplers") for name in ("halton", "tpe")]
    monkeypatch.setattr("hpo.samplers.table.entry_points", lambda group: found)
    with pytest.raises(hpo.UnknownSampler, match="'halton' cannot be loaded from no_such:make: ModuleNotFoundError: "):
        find_sampler("halton")
    with pytest.raises(hpo.UnknownSampler, match=r"known: grid, random, tpe, auto, qmc, cmaes, gp, halton\b"):
        find_sampler("nope")


# --- Optuna's own suite, on the sampler of ours that takes any distribution (the grid is made for one space) ---


class TestOptunasSuiteOnQMC(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: QMCSampler(["x", "y", "z", "category", *"abcdef"], seed=0)
