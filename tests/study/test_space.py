"""Hyperparameters, conditional spaces, and the exact grid over them."""

import itertools
import json
import math
from collections import Counter

import numpy as np
import optuna
import pytest
import scipy.stats
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from hpo import Categorical, Float, Int, InvalidSpace, SearchSpace, UnsuitableSampler
from hpo.samplers.grid import GridSampler, Permutation
from hpo.samplers.qmc import QMCSampler
from hpo.study.space import configuration_key

optuna.logging.set_verbosity(optuna.logging.WARNING)

few = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

CONDITIONAL = {
    "solver": Categorical(["adam", "sgd"]),
    "rate": Float(1e-4, 1e-1, log=True, grid=3),
    "momentum": Float(0.5, 0.99, grid=2, when={"solver": "sgd"}),
    "nesterov": Categorical([True, False], when={"solver": "sgd"}),
    "depth": Int(1, 3),
    "width": Int(16, 128, log=True, grid=4, when={"depth": [2, 3]}),
}


# --- random nested conditional spaces, described in plain data so that the tests can think for themselves ---


@st.composite
def descriptions(draw):
    """Name -> (kind, levels, when): a parameter depends on any of those drawn before it, whatever their names."""
    names = draw(st.permutations("abcdef"))[: draw(st.integers(1, 5))]
    described = {}
    for name in names:
        kind = draw(st.sampled_from(["int", "float", "choice", "choice"]))
        pool = {
            "int": list(range(-2, 4)),
            "float": [0.0, 0.125, 0.5, 1.0],
            "choice": [None, True, False, "x", "y", "2", 2, 0.5, -7],
        }[kind]
        levels = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=3, unique_by=lambda v: (type(v), v)))
        when = {}
        for parent in described:
            if described[parent][0] != "float" and draw(st.booleans()):
                # An Int's condition may name a value that is no level of the grid.
                possible = described[parent][1] + ([5] if described[parent][0] == "int" else [])
                when[parent] = draw(
                    st.lists(st.sampled_from(possible), min_size=1, unique_by=lambda v: (type(v), v)).filter(bool)
                )
        described[name] = (kind, levels, when)
    return described


def built(described):
    kinds = {
        "int": lambda levels, when: Int(-2, 5, grid=levels, when=when),
        "float": lambda levels, when: Float(0.0, 1.0, grid=levels, when=when),
        "choice": lambda levels, when: Categorical(levels, when=when),
    }
    return SearchSpace({name: kinds[kind](levels, when or None) for name, (kind, levels, when) in described.items()})


def text(configuration):
    return json.dumps(configuration, sort_keys=True)


def same(a, b):
    return text({"": a}) == text({"": b})


def brute_force(described):
    """Cells as the words of the design say it: take every combination, cross out what does not exist, count once."""
    found = set()
    for values in itertools.product(*(levels for _, levels, _ in described.values())):
        everything = dict(zip(described, values, strict=True))

        def exists(name, everything=everything):
            when = described[name][2]
            return all(exists(p) and any(same(everything[p], v) for v in wanted) for p, wanted in when.items())

        found.add(text({name: value for name, value in everything.items() if exists(name)}))
    return found


def cells(space):
    return [space.cell(i) for i in range(space.grid_size)]


@few
@given(descriptions())
def test_grid_is_every_distinct_configuration_exactly_once(described):
    space = built(described)
    found = cells(space)
    assert space.grid_size == len(found) == len(set(map(text, found)))
    assert set(map(text, found)) == brute_force(described)
    for cell in found:
        assert text(space.check(cell)) == text(cell)
        assert space.is_cell(cell)


@st.composite
def rewritten_twice(draw):
    described = draw(descriptions())
    again = {}
    for name in draw(st.permutations(list(described))):
        kind, levels, when = described[name]
        shuffled = {parent: draw(st.permutations(when[parent])) for parent in draw(st.permutations(list(when)))}
        again[name] = (kind, draw(st.permutations(levels)), shuffled)
    return described, again


def suggestions(space, sampler, n=6):
    study = optuna.create_study(sampler=sampler)
    return [text(space.suggest(study.ask())) for _ in range(n)]


@few
@given(rewritten_twice())
def test_order_of_writing_never_matters(pair):
    one, other = map(built, pair)
    assert one.names == other.names
    assert one.fingerprint == other.fingerprint
    assert list(map(text, cells(one))) == list(map(text, cells(other)))
    assert suggestions(one, QMCSampler(one.names, 7)) == suggestions(other, QMCSampler(other.names, 7))
    random = [suggestions(space, optuna.samplers.RandomSampler(seed=7)) for space in (one, other)]
    assert random[0] == random[1]
    n = min(6, one.grid_size)
    assert suggestions(one, GridSampler(one, 7), n) == suggestions(other, GridSampler(other, 7), n)


@few
@given(descriptions(), st.integers(0, 3))
def test_every_suggestion_is_a_valid_configuration(described, seed):
    space = built(described)
    for sampler in (QMCSampler(space.names, seed), optuna.samplers.RandomSampler(seed=seed)):
        for suggested in suggestions(space, sampler, 4):
            assert text(space.check(json.loads(suggested))) == suggested


@few
@given(descriptions())
def test_a_new_name_for_a_parameter_only_renames_the_cells(described):
    def renamed(name):
        return f"z{name}"

    other = {
        renamed(name): (kind, levels, {renamed(parent): wanted for parent, wanted in when.items()})
        for name, (kind, levels, when) in described.items()
    }
    expected = {text({renamed(name): value for name, value in cell.items()}) for cell in cells(built(described))}
    assert set(map(text, cells(built(other)))) == expected
    assert built(other).fingerprint != built(described).fingerprint


def test_parents_come_before_children_and_the_rest_is_alphabetical():
    space = SearchSpace({"a": Int(0, 1, when={"z": "x"}), "z": ["x", "y"], "m": [1], "b": [1, 2]})
    assert space.names == ("b", "m", "z", "a")
    assert space.is_conditional
    assert space.conditional_names() == ["a"]


def test_inactive_hyperparameters_do_not_multiply_the_grid():
    space = SearchSpace(CONDITIONAL)
    solver = 1 + 2 * 2  # adam; sgd with momentum x nesterov
    depth = 1 + 2 * 4  # one layer; two or three, with a width
    assert space.grid_size == 3 * solver * depth
    assert len({configuration_key(cell) for cell in cells(space)}) == space.grid_size


def test_a_grid_too_large_to_list_is_counted_and_indexed():
    many = {f"p{i:02}": Float(0, 1, grid=10) for i in range(30)}
    space = SearchSpace({**many, "q": Int(0, 4, when={"r": 1}), "r": [0, 1]})
    assert space.grid_size == 10**30 * 6
    first, last = space.cell(0), space.cell(space.grid_size - 1)
    assert first != last
    assert space.check(last) == last


@pytest.mark.parametrize("index", [-1, 3])
def test_cell_beyond_the_grid_is_refused(index):
    with pytest.raises(InvalidSpace, match=rf"no cell {index}: it has 3"):
        SearchSpace({"a": [1, 2, 3]}).cell(index)


@few
@given(st.integers(1, 600), st.integers(0, 2**63))
def test_permutation_is_a_bijection(size, seed):
    order = Permutation(size, seed)
    assert sorted(order[i] for i in range(size)) == list(range(size))


def test_permutation_depends_on_the_seed():
    orders = {tuple(Permutation(50, seed)[i] for i in range(50)) for seed in range(20)}
    assert len(orders) == 20


# --- the grid sampler ---


def run_grid(space, study, n, seed=3):
    """Ask and tell ``n`` trials with a fresh sampler for each, as after a crash; every third one fails."""
    for _ in range(n):
        study.sampler = GridSampler(space, seed)
        trial = study.ask()
        space.suggest(trial)
        if trial.number % 3:
            study.tell(trial, 0.5)
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)


def test_grid_sampler_visits_every_cell_once_also_when_resumed_and_after_failures():
    space = SearchSpace(CONDITIONAL | {"rate": Float(1e-4, 1e-1, log=True, grid=1)})
    study = optuna.create_study()
    run_grid(space, study, space.grid_size - 1)
    assert not GridSampler(space, 3).is_exhausted(study)
    run_grid(space, study, 1)
    assert GridSampler(space, 3).is_exhausted(study)
    tried = [text(trial.params) for trial in study.get_trials()]
    assert sorted(tried) == sorted(map(text, cells(space)))
    with pytest.raises(UnsuitableSampler, match=f"the grid has {space.grid_size} cells"):
        run_grid(space, study, 1)


def test_one_grid_sampler_for_the_whole_run_proposes_as_fresh_ones_do():
    space = SearchSpace(CONDITIONAL)
    resumed = optuna.create_study()
    run_grid(space, resumed, 20)
    assert suggestions(space, GridSampler(space, 3), 20) == [text(trial.params) for trial in resumed.get_trials()]


def test_grid_keeps_what_was_tried_when_a_value_is_added():
    small, large = SearchSpace({"a": [1, 2, 3], "b": ["x", "y"]}), SearchSpace({"a": [1, 2, 3, 4], "b": ["x", "y"]})
    distributions = {
        name: optuna.distributions.CategoricalDistribution(parameter.choices)
        for name, parameter in large.parameters.items()
    }
    study = optuna.create_study()
    for cell in cells(small):
        study.add_trial(optuna.trial.create_trial(params=cell, distributions=distributions, value=0.0))
    study.sampler = GridSampler(large, 0)
    added = [text(large.suggest(study.ask())) for _ in range(2)]
    assert sorted(added) == [text({"a": 4, "b": "x"}), text({"a": 4, "b": "y"})]
    assert GridSampler(large, 1).is_exhausted(study)


def test_grid_leaves_out_a_start_configuration_and_retries_when_told():
    space = SearchSpace({"a": [1, 2, 3]})
    sampler = GridSampler(space, 0)
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial({"a": 2})
    sampler_values = [space.suggest(study.ask())["a"] for _ in range(3)]
    assert sampler_values[0] == 2
    assert sorted(sampler_values) == [1, 2, 3]
    sampler.retry([{"a": 3}])
    assert not sampler.is_exhausted(study)
    assert space.suggest(study.ask()) == {"a": 3}
    assert sampler.is_exhausted(study)


def test_seeds_order_the_grid_differently_and_cover_it_alike():
    space = SearchSpace(CONDITIONAL)
    orders = [suggestions(space, GridSampler(space, seed), space.grid_size) for seed in (0, 1)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


# --- one hyperparameter ---


def test_levels_are_ascending_include_the_ends_and_are_spaced_by_the_scale():
    assert Float(0, 1).levels() == [0, 0.25, 0.5, 0.75, 1]
    assert Float(1e-4, 1e-1, log=True, grid=4).levels() == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert Float(1e-4, 1e-1, log=True, grid=4).levels()[-1] == 1e-1
    assert Float(0, 1, grid=[0.9, 0.1, 0.9]).levels() == [0.1, 0.9]
    assert Float(0, 1, step=0.25, grid=99).levels() == [0, 0.25, 0.5, 0.75, 1]
    assert Int(1, 3).levels() == [1, 2, 3]
    assert Int(1, 100, grid=3).levels() in ([1, 50, 100], [1, 51, 100])
    assert Int(1, 1000, log=True, grid=4).levels() == [1, 10, 100, 1000]
    assert Int(2, 11, step=4).levels() == [2, 6, 10]
    assert Categorical(["b", "a"]).levels() == ["a", "b"]


@pytest.mark.parametrize("parameter", [Float(2, 8, grid=1), Int(2, 8, grid=1), Float(1, 100, log=True, grid=1)])
def test_a_single_level_is_the_middle(parameter):
    assert parameter.levels() == [10 if parameter.log else 5]


@few
@given(
    st.integers(-50, 50), st.integers(1, 60), st.integers(1, 7), st.integers(1, 9), st.floats(0, 1, exclude_max=True)
)
def test_int_stays_on_its_steps(low, span, step, grid, u):
    parameter = Int(low, low + span, step=step, grid=grid)
    allowed = list(range(low, low + span + 1, step))
    assert set(parameter.levels()) <= set(allowed)
    assert len(parameter.levels()) == min(grid, len(allowed))
    assert parameter.at(u) in allowed
    assert parameter.exhaustive().levels() == allowed
    assert [parameter.at((i + 0.5) / len(allowed)) for i in range(len(allowed))] == allowed
    for value in range(low - 1, low + span + 2):
        if value in allowed:
            assert parameter.check(value) == value
        else:
            with pytest.raises(InvalidSpace):
                parameter.check(value)


@few
@given(st.integers(1, 40), st.integers(1, 200))
def test_log_int_gives_every_integer_its_share_of_the_logarithm(low, span):
    high = low + span
    parameter = Int(low, high, log=True)
    whole = math.log((high + 0.5) / (low - 0.5))
    for value in {low, low + span // 3, high}:
        middle = math.log(value / (low - 0.5)) / whole
        assert parameter.at(middle) == value
    assert parameter.at(0.0) == low
    assert parameter.at(1 - 1e-12) == high


@few
@given(st.floats(-100, 100), st.floats(0.01, 100), st.lists(st.floats(0, 1, exclude_max=True), min_size=2))
def test_float_quantiles_rise_and_stay_inside(low, span, quantiles):
    parameter = Float(low, low + span)
    values = [parameter.at(u) for u in sorted(quantiles)]
    assert values == sorted(values)
    assert [parameter.check(value) for value in values] == values
    assert parameter.at(0.5) == pytest.approx(low + span / 2)


@few
@given(st.floats(1e-12, 1e6), st.floats(1.5, 1e6), st.floats(0, 1, exclude_max=True))
def test_log_float_quantiles_are_those_of_scipy(low, factor, u):
    parameter = Float(low, low * factor, log=True)
    assert parameter.at(u) == pytest.approx(scipy.stats.loguniform(low, low * factor).ppf(u), rel=1e-9)
    assert parameter.check(parameter.at(u)) == parameter.at(u)


@pytest.mark.parametrize("step", [0.1, 0.25, 1 / 3, 1e-7, 1e-12])
def test_stepped_float_has_all_its_steps_and_nothing_between(step):
    low = 3 * step
    parameter = Float(low, low + 10.5 * step, step=step, grid=11)
    levels = parameter.levels()
    assert len(levels) == 11
    assert levels == pytest.approx([low + k * step for k in range(11)], rel=1e-9, abs=0)
    assert [parameter.at((k + 0.5) / 11) for k in range(11)] == levels
    with pytest.raises(InvalidSpace, match="multiple of the step"):
        parameter.check(low + 2.5 * step)


def test_optunas_rounding_of_a_step_changes_neither_the_configuration_nor_a_condition():
    # Optuna proposes 0.1 + 2 * 0.1 = 0.30000000000000004, which is the grid's level 0.3.
    space = SearchSpace({"a": Float(0.1, 0.5, step=0.1), "b": Int(0, 3, when={"a": 0.3})})
    assert space.check({"a": 0.1 + 2 * 0.1, "b": 1}) == {"a": 0.3, "b": 1}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    proposed = [space.suggest(study.ask()) for _ in range(40)]
    assert {round(configuration["a"], 6) for configuration in proposed} == {0.1, 0.2, 0.3, 0.4, 0.5}
    assert all(("b" in configuration) == (round(configuration["a"], 6) == 0.3) for configuration in proposed)


def test_values_are_stored_as_native_python_types():
    space = SearchSpace(
        {
            "a": Categorical(list(np.array([0.25, 0.5]))),
            "b": np.array([1, 2]),
            "c": Float(np.float32(0), np.float64(1)),
            "d": Int(np.int64(1), np.int16(4)),
        }
    )
    for cell in cells(space):
        assert [type(cell[name]) for name in "abcd"] == [float, int, float, int]
    checked = space.check({"a": np.float64(0.5), "b": np.int64(2), "c": np.float32(0.5), "d": np.uint8(3)})
    assert [type(checked[name]) for name in "abcd"] == [float, int, float, int]


def test_labels_are_stored_and_objects_used():
    scaler, reducer = StandardScaler(), PCA(2)
    space = SearchSpace({"scale": Categorical({"standard": scaler, "reduce": reducer, "none": None}), "n": [1, 2]})
    assert {cell["scale"] for cell in cells(space)} == {"standard", "reduce", "none"}
    assert space.use({"scale": "reduce", "n": 2}) == {"scale": reducer, "n": 2}
    assert space.use({"scale": "none", "n": 1}) == {"scale": None, "n": 1}


def test_a_list_of_objects_gets_their_texts_as_labels():
    space = SearchSpace({"hidden": [(50,), (100, 50)]})
    assert space.parameters["hidden"].choices == ("(100, 50)", "(50,)")
    assert space.use({"hidden": "(50,)"}) == {"hidden": (50,)}


def test_a_list_of_functions_gets_their_names_as_labels():
    space = SearchSpace({"score": [np.mean, len]})
    assert space.parameters["score"].choices == ("len", "mean")
    assert space.use({"score": "len"}) == {"score": len}
    assert SearchSpace({"score": [object()]}).parameters["score"].choices == ("object",)  # without the address
    with pytest.raises(InvalidSpace, match="share names: give a dict label -> object"):
        SearchSpace({"score": [object(), object()]})
    with pytest.raises(InvalidSpace, match="share names: give a dict label -> object"):
        SearchSpace({"score": [lambda x: x, lambda x: -x]})


@pytest.mark.parametrize(
    ("given_", "equal"),
    [
        ([1, 2, "x"], Categorical(["x", 2, 1])),
        ((None, True), Categorical([True, None])),
        (np.array([3, 1]), Categorical([1, 3])),
        (range(1, 4), Categorical([1, 2, 3])),
        (scipy.stats.uniform(0.5, 2), Float(0.5, 2.5)),
        (scipy.stats.uniform(loc=-1, scale=3), Float(-1, 2)),
        (scipy.stats.loguniform(1e-3, 10), Float(1e-3, 10, log=True)),
        (scipy.stats.reciprocal(1, 10, scale=2), Float(2, 20, log=True)),
        (scipy.stats.randint(2, 9), Int(2, 8)),
        (scipy.stats.randint(2, 9, loc=1), Int(3, 9)),
    ],
)
def test_lists_and_scipy_distributions_stand_for_hyperparameters(given_, equal):
    assert SearchSpace({"a": given_}).fingerprint == SearchSpace({"a": equal}).fingerprint


def test_other_scipy_distributions_are_searched_by_quantile():
    gamma = scipy.stats.gamma(2, scale=3)
    space = SearchSpace({"a": gamma})
    assert not space.is_finite
    assert [space.use(cell)["a"] for cell in cells(space)] == pytest.approx(gamma.ppf([0.1, 0.3, 0.5, 0.7, 0.9]))
    assert space.quantile_values({"a": 0.5}) == {"a": pytest.approx(gamma.median())}
    assert space.fingerprint != SearchSpace({"a": scipy.stats.gamma(2, scale=4)}).fingerprint
    with pytest.raises(InvalidSpace, match=r"1\.5 is not a quantile"):
        space.check({"a": 1.5})


def test_a_discrete_scipy_distribution_gives_the_estimator_integers():
    # scikit-learn refuses max_depth=20.0; its own searches draw integers here.
    used = SearchSpace({"a": scipy.stats.poisson(20)}).use({"a": 0.5})
    assert used == {"a": 20}
    assert isinstance(used["a"], int)


# --- sizes, hashes, checks ---


def test_size_counts_all_configurations_not_only_the_grid():
    space = SearchSpace({"a": Int(1, 50), "b": Float(0, 1, step=0.1), "c": Int(0, 9, when={"a": [1, 2]})})
    assert space.grid_size == 5 * 5 + 5 * 4  # the levels of a: 1 (so c) and four others
    assert space.size == 48 * 11 + 2 * 11 * 10
    assert SearchSpace({"a": Float(0, 1)}).size is None
    assert not SearchSpace({"a": Float(0, 1), "b": [1]}).is_finite
    assert space.is_finite


@pytest.mark.parametrize(
    "changed",
    [
        {"rate": Float(1e-4, 1e-2, log=True, grid=3)},
        {"rate": Float(1e-4, 1e-1, grid=3)},
        {"rate": Float(1e-4, 1e-1, log=True, grid=4)},
        {"solver": Categorical(["adam", "lbfgs", "sgd"])},
        {"solver": Categorical({"adam": "adam", "sgd": "SGD"})},
        {"momentum": Float(0.5, 0.99, grid=2)},
        {"momentum": Float(0.5, 0.99, grid=2, when={"solver": "adam"})},
        {"momentum": Float(0.5, 0.99, grid=2, when={"solver": ["adam", "sgd"]})},
        {"width": Int(16, 128, log=True, grid=4, when={"depth": [1, 3]})},
        {"depth": Categorical([1, 2, 3])},
        {"more": Categorical([0])},
    ],
)
def test_every_change_of_the_space_changes_its_hash(changed):
    assert SearchSpace(CONDITIONAL | changed).fingerprint != SearchSpace(CONDITIONAL).fingerprint


VALID = {"solver": "sgd", "rate": 0.01, "momentum": 0.9, "nesterov": True, "depth": 2, "width": 32}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 0.5}, r"the configuration: rate: 0.5 is outside \[0.0001, 0.1\]"),
        ({"rate": "0.01"}, "'0.01'.*finite number"),
        ({"rate": math.nan}, "nan.*finite number"),
        ({"depth": 2.5}, "2.5.*whole number"),
        ({"depth": True}, "True.*finite number"),
        ({"depth": 4}, r"4 is outside \[1, 3\]"),
        ({"solver": "lbfgs"}, "'lbfgs' is not one of 'adam', 'sgd'"),
        ({"nesterov": 1}, "1 is not one of False, True"),
        ({"momentun": 1}, "'momentun'; the space has depth, momentum, nesterov, rate, solver, width"),
        ({"depth": 1}, "sets 'width', which exists only when depth is 2 or 3"),
    ],
)
def test_check_names_the_value_and_what_is_allowed(change, message):
    space = SearchSpace(CONDITIONAL)
    assert space.check(VALID) == VALID
    with pytest.raises(InvalidSpace, match=message):
        space.check(VALID | change)


@pytest.mark.parametrize("missing", VALID)
def test_check_names_what_is_missing(missing):
    incomplete = {name: value for name, value in VALID.items() if name != missing}
    with pytest.raises(InvalidSpace, match=missing):
        SearchSpace(CONDITIONAL).check(incomplete)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float(1, 1), r"Float\(1.0, 1.0\): low must be less than high"),
        (lambda: Int(3, 2), r"Int\(3, 2\): low must be less than high"),
        (lambda: Float(0, 1, log=True), r"Float\(0.0, 1.0, log=True\): a logarithm needs low > 0"),
        (lambda: Int(-1, 4, log=True), r"Int\(-1, 4, log=True\): a logarithm needs low > 0"),
        (lambda: Float(0, math.inf), "high of Float is inf: it must be a finite number"),
        (lambda: Float("0", 1), "low of Float is '0'"),
        (lambda: Int(0.5, 2), "low of Int is 0.5: it must be a whole number"),
        (lambda: Int(0, 2, step=0), "step=0.*above 0"),
        (lambda: Float(0, 1, step=-0.1), "step=-0.1.*above 0"),
        (lambda: Float(1, 2, log=True, step=0.1), "step and a logarithm exclude each other"),
        (lambda: Float(0, 1, grid=0), "grid=0.*1 or more"),
        (lambda: Float(0, 1, grid=[]), "levels is empty"),
        (lambda: Float(0, 1, grid=[0.5, 2]), r"2 is outside \[0.0, 1.0\]"),
        (lambda: Float(0, 1, grid=2.5), "2.5"),
        (lambda: Int(0, 9, grid=None), "None"),
        (lambda: Categorical([]), "no choices"),
        (lambda: Categorical("abc"), "'abc': give a list"),
        (lambda: Categorical(["a", "a"]), "'a' appears twice"),
        (lambda: Categorical([1, True]), "equal in Python"),
        (lambda: Categorical([1, 1.0]), "equal in Python"),
        (lambda: Categorical([math.nan]), "nan"),
        (lambda: Categorical([(1, 2)]), r"\(1, 2\) is a tuple.*dict label -> object"),
        (lambda: SearchSpace({}), "dict name -> Float, Int or Categorical"),
        (lambda: SearchSpace([("a", [1])]), "dict name -> Float, Int or Categorical"),
        (lambda: SearchSpace({"a": 3}), "a: 3 is neither Float, Int, Categorical, a list nor a scipy.stats"),
        (lambda: SearchSpace({"a": "xy"}), "a: 'xy' is neither"),
        (lambda: SearchSpace({"a": Int(0, 1, when={"b": 1}), "c": [1]}), "a: its condition names 'b'; known: a, c"),
        (
            lambda: SearchSpace({"a": Int(0, 1, when={"b": 1}), "b": Int(0, 1, when={"a": 1}), "c": [1]}),
            "conditions of a, b form a cycle",
        ),
        (lambda: SearchSpace({"a": Int(0, 1, when={"a": 1})}), "conditions of a form a cycle"),
        (lambda: SearchSpace({"a": [1, 2], "b": Int(0, 1, when={"a": 3})}), "b: .*'a': 3 is not one of 1, 2"),
        (lambda: SearchSpace({"a": [1, 2], "b": Int(0, 1, when={"a": []})}), "'a' allows no value"),
        (lambda: SearchSpace({"a": Float(0, 1), "b": Int(0, 1, when={"a": 0.5})}), "'a', which is continuous"),
        (lambda: SearchSpace({"a": ["x", "y"], "b": Int(0, 1, when="a")}), "b: .*'a'"),
    ],
)
def test_what_cannot_be_is_refused_when_written(make, message):
    with pytest.raises(InvalidSpace, match=message):
        make()


def test_witnesses_reach_every_hyperparameter_at_any_depth():
    space = SearchSpace(
        {
            "a": Int(1, 100, grid=3),
            "b": Int(0, 9, when={"a": 7}),  # 7 is no level of the grid
            "c": ["x", "y"],
            "d": Int(0, 3, when={"c": "y", "b": [8, 9]}),
            "e": Int(0, 1, when={"f": [2, 3]}),
            "f": Int(1, 3),
            "g": Int(0, 1, when={"f": [1, 2], "e": 1}),  # only f=2 gives g
        }
    )
    reached = Counter(name for witness in space.witnesses() for name in space.check(witness))
    assert set(reached) == set("abcdefg")


def test_configuration_key_is_of_what_is_used_in_any_order():
    assert configuration_key({"a": 1, "b": "x"}) == configuration_key({"b": "x", "a": 1})
    keys = {configuration_key({"a": value}) for value in (1, 2, "1", True, None, 1.5, StandardScaler(), PCA(1), PCA(2))}
    assert len(keys) == 9


def test_shows_itself_as_text_and_escaped_html():
    space = SearchSpace(CONDITIONAL | {"<b>": ["<i>"]})
    html = space._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    for name, parameter_range, condition in space.rows():
        assert name in repr(space)
        assert len(parameter_range) > 0
        assert bool(condition) == (name in space.conditional_names())
    assert ("width", "16 to 128 (log)", "depth is 2 or 3") in space.rows()


def test_qmc_point_depends_on_the_trials_number_alone():
    space = SearchSpace(CONDITIONAL)
    whole = suggestions(space, QMCSampler(space.names, 5), 80)
    study = optuna.create_study(sampler=QMCSampler(space.names, 5))
    for _ in range(70):  # a failed or unasked trial leaves the later ones where they were
        study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    study.sampler = QMCSampler(space.names, 5)
    assert [text(space.suggest(study.ask())) for _ in range(10)] == whole[70:]
    assert whole != suggestions(space, QMCSampler(space.names, 6), 80)


def test_qmc_spreads_any_power_of_two_evenly():
    space = SearchSpace({"a": Float(0, 1), "b": Int(0, 7), "c": ["x", "y"]})
    points = [json.loads(point) for point in suggestions(space, QMCSampler(space.names, 1), 64)]
    assert Counter(point["b"] for point in points) == dict.fromkeys(range(8), 8)
    assert Counter(point["c"] for point in points) == {"x": 32, "y": 32}
    assert Counter(int(point["a"] * 16) for point in points) == dict.fromkeys(range(16), 4)
