"""Durations, and metrics as people read them."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import fbeta_score, get_scorer, get_scorer_names, make_scorer, mean_pinball_loss

from hpo import InvalidOption
from hpo.units import (
    Metric,
    digits_apart,
    format_duration,
    number_text,
    number_texts,
    parse_duration,
    rough_text,
    scorer_name,
    share_text,
)  # fmt: skip

few = settings(max_examples=60, deadline=None, derandomize=True)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@few
@given(st.integers(1, 10**6), st.sampled_from(sorted(SECONDS)), st.sampled_from(["", " "]))
def test_a_duration_is_its_number_times_its_unit(number, unit, space):
    assert parse_duration(f"{space}{number}{space}{unit}{space}") == number * SECONDS[unit]
    assert parse_duration(number) == parse_duration(str(number)) == number


@few
@given(st.floats(1e-9, 1e12))
def test_any_positive_number_is_seconds(seconds):
    assert parse_duration(seconds) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0h", "-5s", "s", "5 x", "1h30m", "5 minutes", "1,5h", "inf", "nan", "1e", "--", -1, 0, 0.0, True]
)
def test_what_is_no_duration_is_refused_with_what_is_allowed(text):
    with pytest.raises(InvalidOption, match=re.escape(repr(text)) + ".*90s, 30m, 8h"):
        parse_duration(text)


@pytest.mark.parametrize("number", [math.inf, math.nan, "9" * 400])
def test_a_duration_is_finite(number):
    with pytest.raises(InvalidOption):
        parse_duration(number)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.25, "0.25 s"),
        (1.234, "1.2 s"),
        (9.99, "10 s"),
        (42.4, "42 s"),
        (59.4, "59 s"),
        (59.7, "1 min"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (3599.7, "1 h 0 min"),
        (7800, "2 h 10 min"),
        (90000, "25 h 0 min"),
    ],
)
def test_durations_for_people(seconds, text):
    assert format_duration(seconds) == text


@few
@given(st.floats(1, 1e6))
def test_a_shown_duration_is_near_the_truth(seconds):
    shown = sum(
        float(number) * {"s": 1, "min": 60, "h": 3600}[unit]
        for number, unit in re.findall(r"([\d.]+) (s|min|h)", format_duration(seconds))
    )
    assert shown == pytest.approx(seconds, rel=0.05, abs=0.5 if seconds < 3600 else 60)
    assert "60" not in format_duration(seconds).split()


def test_every_scorer_is_shown_with_its_direction():
    for name in get_scorer_names():
        metric = Metric.of(name)
        is_error = get_scorer(name)._sign == -1
        assert metric.key == name
        assert metric.direction == ("lower is better" if is_error else "higher is better")
        assert metric.label.replace(" ", "_") == name.removeprefix("neg_")
        assert metric.shown(-0.5 if is_error else 0.5) == 0.5


def test_an_error_made_by_hand_is_shown_positive():
    metric = Metric.of(make_scorer(mean_pinball_loss, greater_is_better=False, alpha=0.9))
    assert (metric.key, metric.label) == ("mean_pinball_loss", "mean pinball loss")
    assert metric.direction == "lower is better"
    assert metric.text(-1.5) == "1.500"


def test_a_scorer_is_named_after_its_function():
    def profit(estimator, X, y):
        return 1.0

    class Profit:
        def __call__(self, estimator, X, y):
            return 1.0

    assert scorer_name(profit) == "profit"
    assert scorer_name(Profit()) == "Profit"
    assert scorer_name(make_scorer(fbeta_score, beta=2)) == "fbeta_score"
    assert Metric.of(profit).direction == "higher is better"


def test_zero_has_no_sign_and_nothing_is_a_dash():
    metric = Metric.of("neg_log_loss")
    assert math.copysign(1, metric.shown(0.0)) == 1
    assert metric.text(0.0) == "0.000"
    assert metric.text(None) == metric.text(math.nan) == "-"
    assert metric.text(-0.123456) == "0.1235"


@few
@given(st.floats(-1e6, 1e6))
def test_a_flipped_sign_and_direction_show_the_same(score):
    assert Metric.of("neg_log_loss").shown(-score) == Metric.of("accuracy").shown(score)


@pytest.mark.parametrize(("number", "text"), [
    (0.25, "0.2500"), (20823.7, "20824"), (9.99996, "10.00"), (-0.00012345, "-0.0001234"), (1e-5, "1.000e-05"),
    (1234567.8, "1234568"), (3.2e9, "3.200e+09"), (0.0, "0.000"), (math.inf, "inf"), (math.nan, "nan"),
])  # fmt: skip
def test_numbers_have_four_digits_and_no_exponent_near_one(number, text):
    assert number_text(number) == text


@few
@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=8))
def test_numbers_that_differ_are_shown_differently(numbers):
    texts = number_texts(numbers)
    for a, a_text in zip(numbers, texts, strict=True):
        for b, b_text in zip(numbers, texts, strict=True):
            if not math.isclose(a, b, rel_tol=1e-8):
                assert a_text != b_text
    assert number_texts(numbers[::-1]) == texts[::-1]


@few
@given(st.floats(1e-6, 1e9))
def test_sums_that_end_differently_are_one_number(number):
    assert len(set(number_texts([number, number * (1 + 1e-12)]))) == 1


def test_scores_beside_each_other_have_the_digits_in_which_they_differ():
    metric = Metric.of("neg_mean_squared_error")
    assert metric.texts([-20820.31, -20820.38, None, math.nan]) == ["20820.3", "20820.4", "-", "-"]
    assert metric.text(-20820.31, 120.4, beside=[-20820.38]) == "20820.3 ± 120"
    assert metric.texts([-0.25, -0.25]) == ["0.2500", "0.2500"]
    assert digits_apart([1.0, None, math.inf]) == 4


def test_sizes_have_no_exponent_and_unknown_shares_are_a_dash():
    assert [rough_text(number) for number in (118.0, 11874.0, 0.00123, 0.0)] == ["120", "12000", "0.0012", "0"]
    assert share_text(0.416) == "42%"
    assert share_text(math.nan) == "-"
