"""Which rows train, which validate, and which test rows stay sealed."""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpo.errors import InvalidDefinition
from hpo.fingerprint.hashing import fingerprint
from hpo.units import counted

Rows = NDArray[np.intp]
ORDERS = ("shuffle", "group", "time")

# The sealed test depends on the study alone: its seed is the same for every split and every run.
_TEST_SEED = 20_260_101


TEST_FOLD = -1  # beside the folds: trained on train and validation rows, scored on the sealed test rows


@dataclass(frozen=True)
class Partition:
    """Row numbers of one split.

    Attributes:
        test: the sealed test rows; empty without a test.
        folds: one (train, validation) pair of row arrays for each fold; none contains a test row.
    """

    test: Rows
    folds: tuple[tuple[Rows, Rows], ...]

    @property
    def development(self) -> Rows:
        """Train and validation rows together: what the final model is trained on."""
        return np.unique(np.concatenate([rows for fold in self.folds for rows in fold]))

    def fold(self, number: int) -> tuple[Rows, Rows]:
        """Rows to train on and rows to score; for TEST_FOLD the development rows and the sealed test rows."""
        return (self.development, self.test) if number == TEST_FOLD else self.folds[number]


@dataclass(frozen=True)
class Holdout:
    """One training and one validation part.

    Args:
        validation, test: fractions of all rows, below 1 together; ``test=0`` seals nothing.
        order: ``"shuffle"``, ``"group"`` (no group on both sides), or ``"time"`` (validation after
            training, the test last; then there is only one split).
        stratify: keep the classes' shares; None means for classifiers, when shuffling.

    Example:
        >>> import hpo
        >>> hpo.Holdout(validation=0.25, test=0.2, order="time")
        Holdout(validation=0.25, test=0.2, order='time', stratify=None)
    """

    validation: float = 0.2
    test: float = 0.2
    order: str = "shuffle"
    stratify: bool | None = None

    def __post_init__(self) -> None:
        _check_fraction("validation", self.validation, smallest_is_allowed=False)
        _check_common(self, self.validation)

    @property
    def has_randomness(self) -> bool:
        """Whether split 0 differs from split 1."""
        return self.order != "time"

    def folds(
        self, X: Any, y: Any, groups: Any, *, split: int, stratified: bool, n_rows: int
    ) -> list[tuple[Rows, Rows]]:
        """The fold over the rows of ``X``, which has no test row any more; ``n_rows`` counts all rows."""
        n_validation = _share(self.validation, n_rows, "validation")
        return [_cut(X, y, groups, n_validation, order=self.order, stratified=stratified, seed=_seed(split))]


@dataclass(frozen=True)
class CrossValidation:
    """Every row that is not sealed validates once (per repeat).

    Args:
        folds, repeats: number of folds, and how often the rows are dealt anew.
        test: fraction of all rows that is sealed first.
        order: as for Holdout; ``"time"`` trains on the past of each fold.
        stratify: as for Holdout.
        splitter: any scikit-learn splitter instead of ``folds`` and ``repeats``. Where its
            ``random_state`` is None it is set from the split.

    Example:
        >>> import hpo
        >>> hpo.CrossValidation(5, test=0.2)
        CrossValidation(folds=5, repeats=1, test=0.2, order='shuffle', stratify=None, splitter=None)
    """

    folds: int = 5
    repeats: int = 1
    test: float = 0.2
    order: str = "shuffle"
    stratify: bool | None = None
    splitter: Any = None

    def __post_init__(self) -> None:
        if not _is_whole(self.folds) or self.folds < 2:
            raise InvalidDefinition(f"CrossValidation(folds={self.folds!r}): give a whole number of folds, 2 or more")
        if not _is_whole(self.repeats) or self.repeats < 1:
            raise InvalidDefinition(f"CrossValidation(repeats={self.repeats!r}): give a whole number, 1 or more")
        if self.repeats > 1 and self.order == "time":
            raise InvalidDefinition(f"CrossValidation(repeats={self.repeats}): time order allows no repeats")
        _check_common(self, 0.0)
        if self.splitter is not None:
            _check_splitter(self)

    @property
    def has_randomness(self) -> bool:
        """Whether split 0 differs from split 1."""
        if self.splitter is not None:
            shuffles = getattr(self.splitter, "shuffle", True)
            return bool(shuffles) and getattr(self.splitter, "random_state", 0) is None
        return self.order != "time"

    def _splitter(self, split: int, *, stratified: bool, repeat: int) -> Any:
        from sklearn.base import clone
        from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold, TimeSeriesSplit

        if self.splitter is not None:
            splitter = clone(self.splitter, safe=False)
            if self.has_randomness:
                splitter.random_state = _seed(split)
            return splitter
        if self.order == "time":
            return TimeSeriesSplit(self.folds)
        kinds = {
            ("shuffle", False): KFold, ("shuffle", True): StratifiedKFold,
            ("group", False): GroupKFold, ("group", True): StratifiedGroupKFold,
        }  # fmt: skip
        kind = kinds[self.order, stratified]
        return kind(self.folds, shuffle=True, random_state=_seed(split, repeat))

    def folds_of(self, X: Any, y: Any, groups: Any, *, split: int, stratified: bool) -> Iterator[tuple[Rows, Rows]]:
        """All folds of all repeats over the rows of ``X``."""
        for repeat in range(self.repeats if self.splitter is None else 1):
            yield from self._splitter(split, stratified=stratified, repeat=repeat).split(X, y, groups)


Split = Holdout | CrossValidation


def partition(split: Split, X: Any, y: Any, groups: Any, *, number: int, is_classifier: bool) -> Partition:
    """Rows of split ``number``.

    Args:
        split: the rule.
        X, y, groups: the data; ``y`` and ``groups`` may be None. Arrays of n rows.
        number: 0, 1, ...; the training and validation rows depend on it, the test rows do not.
        is_classifier: whether to stratify when the rule leaves it open.

    Raises:
        InvalidDefinition: the data cannot be split like this.
    """
    from sklearn.utils import _safe_indexing
    from sklearn.utils.validation import _num_samples

    n_rows = _num_samples(X)
    if split.order == "group" and groups is None:
        raise InvalidDefinition('order="group" needs groups: return hpo.Data(X, y, groups=...) from data')
    if number and not split.has_randomness:
        raise InvalidDefinition(f"split {number} does not exist: rows in this order have only split 0")
    if not _reads_groups(split):
        groups = None
    try:
        stratified = _is_stratified(split, y, is_classifier=is_classifier)
        everything = np.arange(n_rows)
        rest, test = everything, everything[:0]
        if split.test:
            n_test = _share(split.test, n_rows, "test")
            _check_groups(split, groups)
            rest, test = _cut(X, y, groups, n_test, order=split.order, stratified=stratified, seed=_TEST_SEED)
        X_rest, y_rest, groups_rest = (
            None if part is None else _safe_indexing(part, rest) for part in (X, y, groups)
        )  # fmt: skip
        if isinstance(split, Holdout):
            folds = split.folds(X_rest, y_rest, groups_rest, split=number, stratified=stratified, n_rows=n_rows)
        else:
            folds = list(split.folds_of(X_rest, y_rest, groups_rest, split=number, stratified=stratified))
    except (ValueError, IndexError, TypeError) as error:
        raise InvalidDefinition(f"the {n_rows} rows cannot be split by {split}: {error}") from error
    return Partition(test=np.sort(test), folds=tuple(_checked_folds(split, folds, rest)))


def _check_groups(split: Split, groups: Any) -> None:
    """Raise InvalidDefinition where there are too few groups to set some aside and deal the others into folds."""
    if split.order != "group" or groups is None:
        return
    n_groups = len(set(np.asarray(groups).tolist()))
    if isinstance(split, CrossValidation) and split.splitter is None and n_groups <= split.folds:
        raise InvalidDefinition(
            f"{counted(n_groups, 'group')} cannot be dealt into {split.folds} folds beside the test rows, as a group "
            "stays whole: use fewer folds, test=0, or data with more groups"
        )


def _checked_folds(split: Split, folds: Sequence[tuple[Rows, Rows]], rest: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Row numbers of the folds, which count within the rows that are not sealed."""
    n_named = len(getattr(getattr(split, "splitter", None), "test_fold", rest))
    for train, validation in folds:
        if n_named != len(rest) or max(np.max(train, initial=0), np.max(validation, initial=0)) >= len(rest):
            raise InvalidDefinition(f"{split} names rows beyond the {len(rest)} that are not sealed: set test=0")
        if not len(train) or not len(validation):
            raise InvalidDefinition(f"{split} leaves no rows to train or to validate on ({len(rest)} are not sealed)")
        yield np.sort(rest[train]), np.sort(rest[validation])


def split_fingerprint(split: Split) -> str:
    """Hash of the rule that makes the splits (without the number of the split)."""
    return fingerprint(split, "split")


def _reads_groups(split: Split) -> bool:
    """Whether the rule looks at groups; scikit-learn warns where it does not and gets some."""
    splitter = getattr(split, "splitter", None)
    if splitter is None or not hasattr(splitter, "get_metadata_routing"):
        return split.order == "group" or splitter is not None
    return split.order == "group" or bool(splitter.get_metadata_routing().consumes("split", ["groups"]))


def _check_splitter(split: CrossValidation) -> None:
    """Refuse to seal rows in another order than the splitter's, which would leak across the seal."""
    from sklearn.model_selection import TimeSeriesSplit

    if not hasattr(split.splitter, "split"):
        raise InvalidDefinition(
            f"splitter={split.splitter!r} is not a scikit-learn splitter: it has no split(X, y, groups)"
        )
    wanted = None
    if isinstance(split.splitter, TimeSeriesSplit):
        wanted = "time"
    elif hasattr(split.splitter, "get_metadata_routing") and _reads_groups(split):
        wanted = "group"
    if wanted is not None and split.order != wanted and split.test:
        raise InvalidDefinition(
            f"splitter={split.splitter!r} with order={split.order!r} would seal test rows that its folds know about: "
            f'give order="{wanted}", or test=0'
        )


def _is_stratified(split: Split, y: Any, *, is_classifier: bool) -> bool:
    if split.stratify is None:
        from sklearn.utils.multiclass import type_of_target

        if not is_classifier or y is None or split.order == "time":
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of casting NaN, which it then refuses
            return type_of_target(y) in {"binary", "multiclass"}
    if split.stratify and (y is None or split.order == "time"):
        raise InvalidDefinition("stratify=True needs a target, and an order other than time")
    return split.stratify


def _cut(X: Any, y: Any, groups: Any, n_aside: int, *, order: str, stratified: bool, seed: int) -> tuple[Rows, Rows]:
    """Set ``n_aside`` rows aside (with groups: about as many): the other rows, and those."""
    from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit, StratifiedGroupKFold, StratifiedShuffleSplit
    from sklearn.utils.validation import _num_samples

    n_rows = _num_samples(X)
    if n_aside >= n_rows:
        raise ValueError(f"{n_aside} rows set aside of {n_rows} leave none")
    if order == "time":
        return np.arange(n_rows - n_aside), np.arange(n_rows - n_aside, n_rows)
    splitter: Any
    if order == "group" and stratified:  # one fold of a stratified deal, whose share is nearest to the wanted one
        n_parts = min(max(2, round(n_rows / n_aside)), len(set(np.asarray(groups).tolist())))
        splitter = StratifiedGroupKFold(n_parts, shuffle=True, random_state=seed)
    elif order == "group":
        splitter = GroupShuffleSplit(1, test_size=n_aside / n_rows, random_state=seed)
    else:
        kind = StratifiedShuffleSplit if stratified else ShuffleSplit
        splitter = kind(1, test_size=n_aside, random_state=seed)
    rest, aside = next(splitter.split(X, y, groups))
    return rest, aside


def _seed(split: int, repeat: int = 0) -> int:
    return int(np.random.SeedSequence([split, repeat]).generate_state(1)[0])


def _share(fraction: float, n_rows: int, name: str) -> int:
    n = round(fraction * n_rows)
    if n < 1:
        raise InvalidDefinition(f"{name}={fraction} of {n_rows} rows leaves no row: use a larger fraction")
    return n


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _check_fraction(name: str, fraction: Any, *, smallest_is_allowed: bool) -> None:
    is_number = isinstance(fraction, Real) and not isinstance(fraction, bool) and math.isfinite(fraction)
    if not is_number or not (0 <= fraction < 1) or (fraction == 0 and not smallest_is_allowed):
        allowed = "from 0 up to, not including, 1" if smallest_is_allowed else "between 0 and 1, both excluded"
        raise InvalidDefinition(f"{name}={fraction!r} is not a fraction: give a number {allowed}")


def _check_common(split: Split, validation: float) -> None:
    _check_fraction("test", split.test, smallest_is_allowed=True)
    if validation + split.test >= 1:
        raise InvalidDefinition(
            f"validation={validation} and test={split.test} leave no rows to train on: together they must be below 1"
        )
    if split.order not in ORDERS:
        raise InvalidDefinition(f"order={split.order!r} is unknown; known: {', '.join(ORDERS)}")
