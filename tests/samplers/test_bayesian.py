"""The sampler `auto`, part by part, against slow and obvious versions of each."""

import itertools
import math

import numpy as np
import optuna
import pytest
from conftest import CONDITIONAL
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.testing.pytest_samplers import BasicSamplerTestCase
from optuna.trial import TrialState, create_trial
from scipy import integrate, optimize, stats
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from hpo import Categorical, Float, Int, SearchSpace
from hpo.samplers.bayesian.acquisition import edge_cost, log_expected_improvement, mutated, repetition_cost, searched
from hpo.samplers.bayesian.belief import believe, fitted_on, remembered
from hpo.samplers.bayesian.coordinates import Coordinates
from hpo.samplers.bayesian.design import design
from hpo.samplers.bayesian.fit import negative_log_posterior
from hpo.samplers.bayesian.history import History, Known
from hpo.samplers.bayesian.kernel import distances, embedded, matern
from hpo.samplers.bayesian.sampler import BayesianSampler
from hpo.samplers.bayesian.surrogate import Surrogate, fit
from hpo.samplers.bayesian.targets import targets

MIXED = SearchSpace(
    {
        **CONDITIONAL,
        "step": Float(0.1, 0.95, step=0.1),
        "even": Int(2, 11, step=2),
        "scipy": stats.norm(),
        "odd": Categorical([True, 2, "2", None, 0.5]),
        "deep": Int(1, 3, when={"even": [4, 8], "splitter": "random"}),
        "deeper": Categorical(["a", "b"], when={"deep": [2, 3], "odd": [True, None]}),
    }
)


def drawn(space: SearchSpace, n: int, seed: int = 0) -> list[dict]:
    rng, found = np.random.default_rng(seed), []
    for _ in range(n):
        configuration: dict = {}
        for name in space.names:
            if space.is_active(name, configuration):
                configuration[name] = space.parameters[name].at(rng.random())
        found.append(configuration)
    return found


def rows_of(space: SearchSpace, n: int, seed: int = 0) -> tuple[Coordinates, np.ndarray]:
    coordinates = Coordinates(space)
    return coordinates, np.array([coordinates.row(configuration) for configuration in drawn(space, n, seed)])


# --- coordinates ---


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_a_configuration_survives_its_coordinates(seed):
    coordinates = Coordinates(MIXED)
    for configuration in drawn(MIXED, 4, seed):
        row = coordinates.row(configuration)
        back = coordinates.configuration(row)
        assert set(back) == set(configuration)
        for name, value in configuration.items():
            assert type(back[name]) is type(value)
            assert back[name] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)
        assert ((row[~coordinates.is_choice] >= 0) | np.isnan(row[~coordinates.is_choice])).all()


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_rows_of_any_origin_are_valid_configurations(seed):
    coordinates, rng = Coordinates(MIXED), np.random.default_rng(seed)
    rows = coordinates.from_uniform(rng.random((20, len(coordinates.axes))))
    for scale in (0.01, 3.0):
        rows = mutated(coordinates, rows, rng, scale=np.full((1, 1), scale), move=0.7, switch=0.4)
        for row in rows:
            configuration = coordinates.configuration(row)
            assert MIXED.check(configuration) == configuration
            np.testing.assert_allclose(coordinates.row(configuration), row, atol=1e-9)


def test_an_integer_is_as_wide_as_its_share():
    coordinates = Coordinates(SearchSpace({"n": Int(1, 4), "m": Int(1, 1000, log=True)}))
    m, n = coordinates.axes
    assert [n.of(value) for value in (1, 2, 3, 4)] == [0.125, 0.375, 0.625, 0.875]
    assert m.of(1) == pytest.approx(np.log(1 / 0.5) / np.log(1000.5 / 0.5))
    assert n.step(np.array([0.125, 0.125, 0.875]), np.array([True, False, True])).tolist() == [0.375, 0.375, 0.625]


def test_what_has_cells_moves_by_one_at_least():
    coordinates, rng = Coordinates(SearchSpace({"n": Int(1, 4), "m": Int(1, 9, log=True)})), np.random.default_rng(0)
    parents = coordinates.from_uniform(rng.random((200, 2)))
    rows = mutated(coordinates, parents, rng, scale=np.full((1, 1), 1e-6), move=1.0, switch=0.0)
    assert (np.abs(rows - parents) > 0.03).all()


# --- targets ---


def test_targets_keep_the_order_and_standardise():
    scores = np.random.default_rng(0).standard_t(2, 31)
    found = targets(scores)
    assert (np.argsort(found) == np.argsort(scores)).all()
    assert found.mean() == pytest.approx(0, abs=1e-7)
    assert found.std() == pytest.approx(1)


def test_how_terrible_a_score_is_does_not_matter_and_neither_does_a_unit():
    scores = np.array([0.5, 0.9, -3.0, 0.7, 0.8])
    worse = np.where(scores == -3.0, -1e9, scores)
    assert (targets(worse) == targets(scores)).all()
    np.testing.assert_allclose(targets(1024 * scores + 3), targets(scores), atol=2e-8)


@pytest.mark.parametrize("scores", [[1.0], [2.0, 2.0], [1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0, 5.0]])
def test_targets_of_ties_are_finite_and_tied(scores):
    found = targets(np.array(scores))
    assert np.isfinite(found).all()
    for a, b in itertools.combinations(range(len(scores)), 2):
        assert (found[a] == found[b]) == (scores[a] == scores[b])


def test_failed_and_pruned_trials_have_scores():
    trials = [
        create_trial(value=3.0),
        create_trial(value=1.0),
        create_trial(value=2.0),
        create_trial(state=TrialState.FAIL),
        create_trial(state=TrialState.PRUNED, value=9.0, intermediate_values={0: -5.0, 3: 9.0}),
        create_trial(state=TrialState.PRUNED, value=0.5, intermediate_values={0: 0.5}),
        create_trial(state=TrialState.PRUNED),
    ]
    one = Coordinates(SearchSpace({"a": Categorical([1])}))
    for trial in trials:
        trial.params = {"a": 1}
    assert History(one).look(trials).scores.tolist() == [3.0, 1.0, 2.0, 0.5, 2.0, 0.5, 0.5]
    assert History(one).look(trials, sign=-1.0).scores.tolist() == [-3.0, -1.0, -2.0, -9.0, -9.0, -2.0, -9.0]
    assert History(one).look(trials[3:4]).scores.tolist() == [0.0]


def test_a_trial_under_way_ends_later():
    space = SearchSpace({"n": Int(1, 1000)})
    coordinates = Coordinates(space)
    history, trials = History(coordinates), []
    for number in range(600):
        trial = create_trial(state=TrialState.RUNNING)
        trial.number, trial.params = number, {"n": number + 1}
        trials.append(trial)
        assert len(history.look(trials).pending) == 1 + (number > 0)
        if number > 0:  # one after the other, a trial late
            trials[number - 1].state, trials[number - 1].values = TrialState.COMPLETE, [float(number - 1)]
    known = history.look(trials)
    assert known.scores.tolist() == list(range(599))
    assert known.rows[:, 0].tolist() == [coordinates.axes[0].of(number + 1) for number in range(599)]
    assert known.pending[:, 0].tolist() == [coordinates.axes[0].of(600)]


# --- kernel and model ---


def slow_distance(axis, a: float, b: float) -> float:
    if axis.is_choice:
        return 0.0 if a == b or (math.isnan(a) and math.isnan(b)) else 0.5 if math.isnan(a) or math.isnan(b) else 1.0
    if not axis.is_conditional:
        return (a - b) ** 2
    place = [(0.0, 0.0) if math.isnan(u) else (math.sin(math.pi * u / 2), math.cos(math.pi * u / 2)) for u in (a, b)]
    return math.dist(*place) ** 2


def test_distances_are_those_of_each_hyperparameter():
    coordinates, rows = rows_of(MIXED, 25)
    found = distances(*embedded(rows, coordinates.axes), len(coordinates.axes))
    for j, axis in enumerate(coordinates.axes):
        slow = [slow_distance(axis, rows[a, j], rows[b, j]) for a in range(len(rows)) for b in range(a)]
        np.testing.assert_allclose(found[j], slow, atol=1e-12)


def test_matern_and_its_slope():
    squared = np.linspace(0.01, 9, 40)
    alike, slope = matern(squared)
    np.testing.assert_allclose(alike, Matern(nu=2.5)(np.zeros((1, 1)), np.sqrt(squared)[:, None])[0])
    numeric = (matern(squared + 1e-6)[0] - matern(squared - 1e-6)[0]) / 2e-6
    np.testing.assert_allclose(slope, numeric, rtol=1e-6)


def problem(n: int = 20, seed: int = 0):
    coordinates, rows = rows_of(MIXED, n, seed)
    y = targets(np.random.default_rng(seed).normal(size=n) + np.nan_to_num(rows[:, 0]))
    return coordinates, rows, y


def test_the_gradient_of_the_posterior_is_the_numerical_one():
    coordinates, rows, y = problem()
    d = len(coordinates.axes)
    apart = distances(*embedded(rows, coordinates.axes), d)
    for seed in range(3):
        theta = np.random.default_rng(seed).normal(size=d + 2)
        numeric = optimize.approx_fprime(theta, lambda t: negative_log_posterior(t, apart, y)[0], 1e-6)
        np.testing.assert_allclose(negative_log_posterior(theta, apart, y)[1], numeric, rtol=1e-3, atol=1e-4)


def test_the_surrogate_is_the_gaussian_process_of_scikit_learn():
    coordinates, rows, y = problem()
    covariance = fit(coordinates.axes, rows, y)
    surrogate = Surrogate.of(covariance, rows, y)
    peer = GaussianProcessRegressor(
        ConstantKernel(covariance.variance) * Matern(nu=2.5), alpha=covariance.noise, optimizer=None
    ).fit(covariance.points(rows), y)
    others = rows_of(MIXED, 30, seed=1)[1]
    for found, expected in zip(
        surrogate.predict(others), peer.predict(covariance.points(others), return_std=True), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_the_model_finds_what_matters():
    space = SearchSpace({name: Float(0, 1) for name in "abcd"})
    coordinates, rows = rows_of(space, 40)
    covariance = fit(coordinates.axes, rows, targets(-((rows[:, 1] - 0.3) ** 2)))
    assert covariance.lengths.argmin() == 1
    assert np.delete(covariance.lengths, 1).min() > 5 * covariance.lengths[1]


# --- where to look ---


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (1.5, 0.3), (-1.0, 0.5), (-0.9, 1.0), (-5.0, 0.7)])
def test_expected_improvement_is_its_integral(mean, deviation):
    best = 0.2
    slow, _ = integrate.quad(
        lambda f: (f - best) * stats.norm.pdf(f, mean, deviation), best, best + 12 * deviation, epsabs=0, limit=200
    )
    found = log_expected_improvement(np.array([mean]), np.array([deviation]), best)[0]
    assert found == pytest.approx(math.log(slow), abs=1e-6)


def test_expected_improvement_falls_smoothly_where_it_underflows():
    z = -np.geomspace(0.5, 1e7, 4000)
    found = log_expected_improvement(z, np.ones(len(z)), 0.0)
    assert np.isfinite(found).all()
    assert (np.diff(found) < 0).all()
    np.testing.assert_allclose(found[-1], -(z[-1] ** 2) / 2, rtol=1e-6)


def test_a_place_of_which_noise_alone_is_unknown_costs():
    deviation, noise = np.array([1e-6, 0.05, 1.0, 1e3]), 0.05**2
    factor = 1 - np.sqrt(noise) / np.sqrt(deviation**2 + noise)
    np.testing.assert_allclose(repetition_cost(deviation, noise)[1:], -np.log(factor)[1:], rtol=1e-9)
    assert (np.diff(repetition_cost(deviation, noise)) < 0).all()
    assert repetition_cost(deviation, noise)[-1] < 1e-4


def test_edges_cost_and_the_middle_does_not():
    rows = np.array([[0.5, 0.5, 2.0], [0.0, 1.0, 0.0], [np.nan, 0.95, 1.0]])
    found = edge_cost(rows, np.array([False, False, True]))
    np.testing.assert_allclose(found, [0.0, 2.0, 0.9**8], atol=1e-12)


def test_the_search_finds_the_best_of_a_bowl():
    space = SearchSpace({name: Float(0, 1) for name in "abc"} | {"kind": Categorical(["x", "y", "z"])})
    coordinates, rows = rows_of(space, 6)
    place = np.array([0.31, 0.62, 0.17, 2.0])

    def promise(candidates):
        return -((candidates - place) ** 2).sum(axis=1)

    found, value = searched(coordinates, promise, rows, np.random.default_rng(0))
    assert value[0] > -0.001
    np.testing.assert_array_equal(value, promise(found))
    assert (np.diff(value) <= 0).all()


def test_the_design_is_spread_and_a_prefix_of_itself():
    coordinates = Coordinates(SearchSpace({"a": Float(0, 1), "b": Float(0, 1), "c": Categorical([1, 2])}))
    rows = design(coordinates, 3, 8)
    for n in (1, 2, 5):
        np.testing.assert_array_equal(design(coordinates, 3, n), rows[:n])
    assert sorted(rows[:, 2].tolist()) == [0.0] * 4 + [1.0] * 4
    for column in (rows[:, 0], rows[:, 1]):  # one point in each eighth of the range drawn from
        assert sorted(np.floor((column - 0.125) / 0.75 * 8)) == list(range(8))


# --- many trials ---


def test_of_many_trials_the_best_and_the_latest_are_remembered():
    scores = np.random.default_rng(0).normal(size=1000)
    order = np.argsort(-scores)
    kept = remembered(order, np.random.default_rng(0))
    assert len(kept) == len(set(kept)) == 300
    assert set(order[:100]) | set(range(900, 1000)) <= set(kept)
    sample = fitted_on(order, np.random.default_rng(0))
    assert len(set(sample)) == 120
    assert set(order[:60]) <= set(sample)


def test_trials_under_way_are_believed_and_not_proposed_again():
    space = SearchSpace({"a": Float(0, 1)})
    coordinates = Coordinates(space)
    rows = np.linspace(0.05, 0.95, 8)[:, None]
    scores = np.random.default_rng(1).normal(size=8)
    alone = believe(coordinates, Known(rows, scores, np.empty((0, 1))), np.random.default_rng(0))
    grid = np.linspace(0, 1, 401)[:, None]
    place = grid[[alone.promise(grid).argmax()]]
    beside = believe(coordinates, Known(rows, scores, place), np.random.default_rng(0))
    assert beside.surrogate.predict(place)[1] < alone.surrogate.predict(place)[1]
    np.testing.assert_allclose(beside.surrogate.predict(place)[0], alone.surrogate.predict(place)[0], atol=1e-3)
    assert abs(grid[beside.promise(grid).argmax()] - place).item() > 0.005


# --- the sampler ---


def run_by_optuna(space: SearchSpace, n: int, *, fresh: bool = False, seed: int = 0, direction="maximize", score=None):
    study = optuna.create_study(direction=direction, sampler=BayesianSampler(space, seed))
    for _ in range(n):
        if fresh:
            study.sampler = BayesianSampler(space, seed)
        trial = study.ask()
        configuration = space.suggest(trial)
        value = (score or (lambda c: -len(str(c))))(configuration)
        study.tell(trial, value, state=TrialState.FAIL if value is None else None)
    return [space.key(trial.params) for trial in study.trials]


def test_what_the_object_remembers_changes_nothing():
    assert run_by_optuna(MIXED, 20) == run_by_optuna(MIXED, 20, fresh=True)


def test_minimising_is_maximising_the_opposite():
    def score(configuration):
        return (configuration["ccp_alpha"] - 0.01) ** 2

    down = run_by_optuna(MIXED, 16, direction="minimize", score=score)
    assert run_by_optuna(MIXED, 16, score=lambda configuration: -score(configuration)) == down


@pytest.mark.parametrize("n_digits", [2, 4])
def test_a_finite_space_is_never_repeated_until_it_is_exhausted(n_digits):
    space = SearchSpace(
        {
            "kind": Categorical(["a", "b"]),
            "n": Int(1, 3),
            "step": Float(0, 1, step=0.25, when={"kind": "a"}),
            **{f"x{i}": Categorical([1, 2]) for i in range(n_digits - 2)},
        }
    )
    size = space.size
    assert size == 18 * 2 ** (n_digits - 2)
    assert len(set(run_by_optuna(space, size))) == size


def test_a_large_finite_space_is_not_repeated(monkeypatch):
    monkeypatch.setattr("hpo.samplers.bayesian.sampler.MOST_LISTED", 1)
    space = SearchSpace({"n": Int(1, 6), "m": Int(1, 5)})
    assert len(set(run_by_optuna(space, 30))) == 30


def test_when_all_or_none_of_the_first_trials_fail():
    assert len(set(run_by_optuna(MIXED, 14, score=lambda configuration: None))) == 14
    tries = iter(range(100))
    assert len(set(run_by_optuna(MIXED, 14, score=lambda c: None if next(tries) < 10 else 1.0))) == 14


def test_trials_of_another_space_are_left_out():
    space = SearchSpace({"a": Float(0, 1)})
    trials = [create_trial(value=1.0)]
    known = History(Coordinates(space)).look(trials)
    assert known.rows.shape == (0, 1)
    assert known.scores.shape == (0,)


class TestOptunasSuiteOnAuto(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        space = SearchSpace({"x": Float(-1, 1), "y": Int(-1, 1), "z": Float(-1, 1)})
        return lambda: BayesianSampler(space, 0)
