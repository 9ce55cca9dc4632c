"""Which rows train, which validate, and which stay sealed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    LeavePGroupsOut,
    PredefinedSplit,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)

from hpo import CrossValidation, Holdout, InvalidDefinition
from hpo.study.splits import partition, split_fingerprint

few = settings(max_examples=30, deadline=None, derandomize=True)

N = 150
X, Y = load_iris(return_X_y=True)
GROUPS = np.arange(N) // 6 % 25  # 25 groups of six rows, all of one class

RULES = [
    Holdout(0.2, 0.2),
    Holdout(0.3, 0),
    Holdout(0.2, 0.2, stratify=False),
    Holdout(0.2, 0.2, order="group"),
    Holdout(0.2, 0.2, order="group", stratify=False),
    Holdout(0.2, 0.2, order="time"),
    CrossValidation(),
    CrossValidation(folds=3, repeats=2, test=0.1),
    CrossValidation(folds=3, test=0),
    CrossValidation(folds=4, stratify=False),
    CrossValidation(folds=4, order="group"),
    CrossValidation(folds=4, repeats=2, order="group", stratify=False),
    CrossValidation(folds=4, order="time"),
    CrossValidation(splitter=KFold(3), test=0.1),
    CrossValidation(splitter=RepeatedKFold(n_splits=3, n_repeats=2)),
    CrossValidation(splitter=RepeatedStratifiedKFold(n_splits=3, n_repeats=2)),
    CrossValidation(splitter=ShuffleSplit(4, test_size=0.25), test=0),
    CrossValidation(splitter=LeaveOneGroupOut(), order="group"),
    CrossValidation(splitter=PredefinedSplit(np.arange(N) % 5 - 1), test=0),
]
RANDOM = [rule for rule in RULES if rule.has_randomness]


def cut(rule, number=0, X=X, y=Y, groups=GROUPS, is_classifier=True):
    if rule.order != "group" and "Group" not in type(getattr(rule, "splitter", None)).__name__:
        groups = None
    return partition(rule, X, y, groups, number=number, is_classifier=is_classifier)


def as_lists(parts):
    return parts.test.tolist(), [(train.tolist(), validation.tolist()) for train, validation in parts.folds]


def named(rule):
    return repr(rule).replace(" ", "")[:80]


@pytest.mark.parametrize("rule", RULES, ids=named)
def test_parts_never_overlap_and_hold_only_rows_that_exist(rule):
    parts = cut(rule)
    assert parts.folds
    for train, validation in parts.folds:
        assert len(train) > 0
        assert len(validation) > 0
        together = np.concatenate([train, validation, parts.test])
        assert len(set(together.tolist())) == len(together)
        assert set(together.tolist()) <= set(range(N))
        assert np.all(np.diff(train) > 0)
        assert np.all(np.diff(validation) > 0)
    assert set(parts.development.tolist()).isdisjoint(parts.test.tolist())


@pytest.mark.parametrize("rule", RULES, ids=named)
def test_the_same_split_has_the_same_rows_and_data_may_come_in_any_form(rule):
    expected = as_lists(cut(rule))
    assert as_lists(cut(rule)) == expected
    shuffled_index = np.random.default_rng(0).permutation(N)
    frame, series = pd.DataFrame(X, index=shuffled_index), pd.Series(Y, index=shuffled_index)
    groups = pd.Series(GROUPS, index=shuffled_index)
    assert as_lists(cut(rule, X=frame, y=series, groups=groups)) == expected
    assert as_lists(cut(rule, X=csr_array(X))) == expected


@pytest.mark.parametrize("rule", RANDOM, ids=named)
def test_the_sealed_rows_are_the_same_for_every_split_and_the_others_are_dealt_anew(rule):
    splits = [cut(rule, number) for number in range(4)]
    assert len({tuple(parts.test.tolist()) for parts in splits}) == 1
    assert len({str(as_lists(parts)[1]) for parts in splits}) == 4


def test_a_random_rule_has_randomness_and_an_ordered_one_has_not():
    ordered = (KFold, LeaveOneGroupOut, PredefinedSplit)
    for rule in RULES:
        is_ordered = rule.order == "time" or isinstance(getattr(rule, "splitter", None), ordered)
        assert rule.has_randomness != is_ordered


@pytest.mark.parametrize("rule", [Holdout(), CrossValidation(), Holdout(order="time")], ids=named)
def test_groups_that_the_rule_does_not_use_change_nothing(rule):
    with_groups = partition(rule, X, Y, GROUPS, number=0, is_classifier=True)
    assert as_lists(with_groups) == as_lists(partition(rule, X, Y, None, number=0, is_classifier=True))


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in RANDOM], ids=named)
def test_a_rule_without_randomness_has_only_split_0(rule):
    with pytest.raises(InvalidDefinition, match=r"split 1 does not exist.*only split 0"):
        cut(rule, 1)


@pytest.mark.parametrize("rule", [r for r in RULES if isinstance(r, CrossValidation) and r.splitter is None], ids=named)
def test_cross_validation_validates_every_development_row_once_in_each_repeat(rule):
    if rule.order == "time":
        rows = np.concatenate([validation for _, validation in cut(rule).folds])
        assert len(set(rows.tolist())) == len(rows)
        return
    parts = cut(rule)
    assert len(parts.folds) == rule.folds * rule.repeats
    for repeat in range(rule.repeats):
        of_repeat = parts.folds[repeat * rule.folds : (repeat + 1) * rule.folds]
        validated = np.sort(np.concatenate([validation for _, validation in of_repeat]))
        assert validated.tolist() == parts.development.tolist()
        assert all(len(t) + len(v) + len(parts.test) == N for t, v in of_repeat)
    assert sorted([*parts.development, *parts.test]) == list(range(N))


def test_repeats_deal_the_rows_differently():
    parts = cut(CrossValidation(folds=3, repeats=2))
    assert as_lists(parts)[1][:3] != as_lists(parts)[1][3:]


@few
@given(
    st.integers(20, 300),
    st.floats(0.06, 0.45),
    st.sampled_from([0.0, 0.06, 0.1, 0.25, 0.5]),
    st.sampled_from(["shuffle", "time"]),
    st.integers(0, 5),
)
def test_fractions_are_of_all_rows(n, validation, test, order, number):
    rule = Holdout(validation, test, order=order)
    parts = partition(rule, np.zeros((n, 1)), None, None, number=number * (order == "shuffle"), is_classifier=False)
    [(train, validating)] = parts.folds
    assert len(parts.test) == round(test * n)
    assert len(validating) == round(validation * n)
    assert len(train) == n - len(parts.test) - len(validating)


@pytest.mark.parametrize("test", [0.1, 0.2, 0.5])
def test_cross_validation_seals_its_fraction_of_all_rows(test):
    assert len(cut(CrossValidation(test=test)).test) == round(test * N)
    assert len(cut(CrossValidation(test=test, order="time")).test) == round(test * N)


@pytest.mark.parametrize("rule", [Holdout(0.25, 0.1), CrossValidation(folds=4, test=0.1)], ids=named)
def test_classes_keep_their_shares_in_every_part(rule):
    # 357 benign, 212 malignant; one row more or less per class is rounding.
    features, target = load_breast_cancer(return_X_y=True)
    parts = cut(rule, X=features, y=target, groups=None)
    for rows in [parts.test, *(part for fold in parts.folds for part in fold)]:
        assert abs(target[rows].sum() - target.mean() * len(rows)) <= 1


def test_stratification_is_for_classifiers_unless_told_otherwise():
    rule = Holdout(0.2, 0.2)
    stratified = as_lists(cut(Holdout(0.2, 0.2, stratify=True), is_classifier=False))
    plain = as_lists(cut(Holdout(0.2, 0.2, stratify=False)))
    assert stratified != plain
    assert as_lists(cut(rule, is_classifier=True)) == stratified
    assert as_lists(cut(rule, is_classifier=False)) == plain
    assert np.bincount(Y[cut(rule).test]).tolist() == [10, 10, 10]


def test_text_labels_are_stratified_and_several_outputs_are_not():
    names = np.array(["a", "b", "c"])[Y]
    assert as_lists(cut(Holdout(), y=names)) == as_lists(cut(Holdout()))
    several = np.column_stack([Y == 0, Y == 1]).astype(int)
    assert as_lists(cut(Holdout(), y=several)) == as_lists(cut(Holdout(stratify=False)))


@pytest.mark.parametrize("rule", [r for r in RULES if r.order == "group"], ids=named)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_group_is_never_on_two_sides(rule, number):
    if number and not rule.has_randomness:
        number = 0
    parts = cut(rule, number)
    assert len(parts.test) > 0
    for train, validation in parts.folds:
        sides = [set(GROUPS[rows].tolist()) for rows in (train, validation, parts.test)]
        assert sides[0].isdisjoint(sides[1])
        assert (sides[0] | sides[1]).isdisjoint(sides[2])


@few
@given(
    st.lists(st.integers(1, 9), min_size=8, max_size=40),
    st.sampled_from([0.1, 0.2, 0.3]),
    st.booleans(),
    st.integers(0, 4),
)
def test_groups_of_any_sizes_stay_together_and_the_test_has_about_its_fraction(sizes, test, stratify, number):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    target = np.arange(len(groups)) % 2
    rule = Holdout(0.25, test, order="group", stratify=stratify)
    try:
        parts = partition(rule, groups[:, None], target, groups, number=number, is_classifier=True)
    except InvalidDefinition as refused:
        # With so few groups a share cannot be cut; it is said, not done wrongly.
        assert "cannot be split" in str(refused) or "leaves no rows" in str(refused)  # noqa: PT017
        assert len(sizes) < 2 / test + 2
        return
    [(train, validation)] = parts.folds
    sides = [set(groups[rows].tolist()) for rows in (train, validation, parts.test)]
    assert all(sides)
    assert sum(map(len, sides)) == len(sizes)
    assert len(parts.test) < len(groups) / 2 + max(sizes)


def test_time_order_validates_after_training_and_tests_last():
    for rule in (Holdout(0.2, 0.1, order="time"), CrossValidation(folds=4, test=0.1, order="time")):
        parts = cut(rule)
        assert parts.test.tolist() == list(range(135, 150))
        for train, validation in parts.folds:
            assert train.max() < validation.min()
            assert validation.max() < parts.test.min()
        assert max(validation.max() for _, validation in parts.folds) == 134
    assert [len(train) for train, _ in cut(CrossValidation(folds=4, order="time")).folds] == [24, 48, 72, 96]


# --- any splitter of scikit-learn ---


@pytest.mark.parametrize(
    "splitter",
    [
        KFold(4),
        KFold(3, shuffle=True, random_state=1),
        StratifiedKFold(3),
        GroupKFold(5),
        LeaveOneGroupOut(),
        TimeSeriesSplit(3),
    ],
    ids=str,
)
def test_a_splitter_without_free_randomness_gives_its_own_folds(splitter):
    rule = CrossValidation(splitter=splitter, test=0)
    groups = GROUPS if "Group" in type(splitter).__name__ else None
    expected = [(train.tolist(), validation.tolist()) for train, validation in splitter.split(X, Y, groups)]
    assert as_lists(cut(rule)) == ([], expected)
    assert not rule.has_randomness


def test_a_splitters_own_seed_is_kept_and_a_missing_one_set_from_the_split():
    free = RepeatedKFold(n_splits=3, n_repeats=2)
    rule = CrossValidation(splitter=free, test=0)
    assert as_lists(cut(rule, 1)) == as_lists(cut(rule, 1))
    assert as_lists(cut(rule, 1)) != as_lists(cut(rule, 2))
    assert free.random_state is None  # the user's object is left alone
    fixed = CrossValidation(splitter=RepeatedKFold(n_splits=3, n_repeats=2, random_state=4), test=0)
    assert not fixed.has_randomness
    assert as_lists(cut(fixed)) == as_lists(cut(fixed))


def test_a_predefined_split_is_taken_as_it_is():
    fold_of_row = np.arange(N) % 3 - 1  # -1: never validates
    parts = cut(CrossValidation(splitter=PredefinedSplit(fold_of_row), test=0))
    assert [validation.tolist() for _, validation in parts.folds] == [
        np.flatnonzero(fold_of_row == fold).tolist() for fold in (0, 1)
    ]


def test_a_predefined_split_of_all_rows_with_some_of_them_sealed_is_refused():
    rule = CrossValidation(splitter=PredefinedSplit(np.arange(N) % 5), test=0.2)
    with pytest.raises(InvalidDefinition, match="names rows beyond the 120 that are not sealed"):
        cut(rule)


def test_a_group_splitter_leaves_out_each_development_group_in_turn():
    parts = cut(CrossValidation(splitter=LeaveOneGroupOut(), order="group", test=0.2))
    left_out = [set(GROUPS[validation].tolist()) for _, validation in parts.folds]
    assert all(len(groups) == 1 for groups in left_out)
    assert set.union(*left_out) | set(GROUPS[parts.test].tolist()) == set(range(25))
    pairs = cut(CrossValidation(splitter=LeavePGroupsOut(2), order="group", test=0.8, stratify=False))
    assert all(len(set(GROUPS[validation].tolist())) == 2 for _, validation in pairs.folds)


# --- what cannot be ---


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Holdout(validation=0), r"validation=0 .*between 0 and 1, both excluded"),
        (lambda: Holdout(validation=1.0), r"validation=1\.0"),
        (lambda: Holdout(validation=-0.1), r"validation=-0\.1"),
        (lambda: Holdout(validation="0.2"), "validation='0.2'"),
        (lambda: Holdout(validation=float("nan")), "validation=nan"),
        (lambda: Holdout(test=1), r"test=1 .*from 0 up to, not including, 1"),
        (lambda: Holdout(test=True), "test=True"),
        (lambda: Holdout(0.5, 0.5), r"validation=0\.5 and test=0\.5 leave no rows to train on.*below 1"),
        (lambda: CrossValidation(test=1.5), r"test=1\.5"),
        (lambda: CrossValidation(folds=1), "folds=1.*2 or more"),
        (lambda: CrossValidation(folds=2.5), r"folds=2\.5"),
        (lambda: CrossValidation(folds=True), "folds=True"),
        (lambda: CrossValidation(repeats=0), "repeats=0.*1 or more"),
        (lambda: CrossValidation(repeats=2, order="time"), "repeats=2.*time order allows no repeats"),
        (lambda: CrossValidation(order="random"), "order='random' is unknown; known: shuffle, group, time"),
        (lambda: Holdout(order="Time"), "order='Time' is unknown"),
        (lambda: CrossValidation(splitter=5), "splitter=5 is not a scikit-learn splitter"),
    ],
)
def test_rules_that_cannot_be_are_refused_when_written(make, message):
    with pytest.raises(InvalidDefinition, match=message):
        make()


@pytest.mark.parametrize(
    ("rule", "n", "message"),
    [
        (Holdout(0.2, 0.01), 40, r"test=0\.01 of 40 rows leaves no row"),
        (Holdout(0.01, 0.2), 40, r"validation=0\.01 of 40 rows leaves no row"),
        (Holdout(0.49, 0.5), 10, "10 rows cannot be split"),
        (CrossValidation(folds=10), 10, "10 rows cannot be split"),
        (CrossValidation(folds=9, order="time", test=0.5), 10, "10 rows cannot be split"),
        (CrossValidation(order="group"), 40, "needs groups: return hpo.Data"),
        (CrossValidation(splitter=GroupKFold(3), test=0), 40, "40 rows cannot be split"),
        (Holdout(stratify=True), 40, "stratify=True needs a target"),
    ],
    ids=str,
)
def test_data_too_small_or_lacking_what_the_rule_needs_is_refused(rule, n, message):
    with pytest.raises(InvalidDefinition, match=message):
        partition(rule, np.zeros((n, 2)), None, None, number=0, is_classifier=False)


def test_stratifying_by_time_is_refused():
    with pytest.raises(InvalidDefinition, match="order other than time"):
        cut(Holdout(order="time", stratify=True))


def test_a_class_of_one_row_cannot_be_stratified_and_says_so():
    target = np.zeros(N, dtype=int)
    target[3] = 1
    with pytest.raises(InvalidDefinition, match="150 rows cannot be split"):
        cut(Holdout(), y=target)


def test_every_change_of_the_rule_changes_its_hash():
    assert len({split_fingerprint(rule) for rule in RULES}) == len(RULES)
    assert split_fingerprint(CrossValidation(splitter=KFold(3))) != split_fingerprint(
        CrossValidation(splitter=KFold(4))
    )
    assert split_fingerprint(Holdout(0.2, 0.2)) == split_fingerprint(Holdout())


@pytest.mark.parametrize(
    ("splitter", "wanted"), [(TimeSeriesSplit(3), "time"), (LeaveOneGroupOut(), "group"), (GroupKFold(3), "group")]
)
def test_a_splitter_whose_order_the_seal_would_break_is_refused(splitter, wanted):
    with pytest.raises(InvalidDefinition, match=rf'give order="{wanted}", or test=0'):
        CrossValidation(splitter=splitter, test=0.2)
    assert CrossValidation(splitter=splitter, test=0.2, order=wanted).order == wanted
    assert CrossValidation(splitter=splitter, test=0).test == 0


def test_too_few_groups_are_said_in_the_users_own_numbers():
    split = CrossValidation(folds=3, order="group", test=0.2)
    X, y = np.zeros((30, 1)), np.arange(30) % 2
    with pytest.raises(InvalidDefinition, match="3 groups cannot be dealt into 3 folds beside the test rows"):
        partition(split, X, y, np.arange(30) // 10, number=0, is_classifier=True)
    assert len(partition(split, X, y, np.arange(30) // 6, number=0, is_classifier=True).folds) == 3
