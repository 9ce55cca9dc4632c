"""What a fitted estimator holds: every learned array once, through whatever it is nested in."""

import functools
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from hpo.models.feature_names import Names, inner_names, own_names, parts_of

# Where the general rule is not right: scikit-learn's class, also as a base -> the attributes that hold what it learned.
_LEARNED: dict[str, tuple[str, ...]] = {
    # nested
    "Pipeline": ("steps",),
    "FeatureUnion": ("transformer_list",),
    "ColumnTransformer": ("transformers_",),
    "FrozenEstimator": ("estimator",),
    "_BaseVoting": ("named_estimators_",),
    "_BaseStacking": ("named_estimators_", "final_estimator_"),
    "_CalibratedClassifier": ("estimator", "calibrators"),
    "BaseHistGradientBoosting": ("_baseline_prediction", "_predictors"),
    "PowerTransformer": ("lambdas_", "_scaler"),
    "LocallyLinearEmbedding": ("nbrs_", "embedding_"),  # new rows are placed among the embedded
    # remembered training rows
    "BaseLibSVM": ("support_vectors_", "dual_coef_", "intercept_", "probA_", "probB_"),
    "NeighborsBase": ("_fit_X", "_y"),
    "LocalOutlierFactor": ("_fit_X", "offset_"),
    "KNNImputer": ("_fit_X", "indicator_"),
    "GaussianProcessRegressor": ("X_train_", "alpha_", "kernel_"),
    "_BinaryGaussianProcessClassifierLaplace": ("X_train_", "y_train_", "kernel_"),
    # elsewhere a regularization that was chosen, or a statistic on the way
    "BaseDecisionTree": ("tree_",),
    "BayesianRidge": ("coef_", "intercept_", "alpha_", "lambda_", "sigma_"),
    "ARDRegression": ("coef_", "intercept_", "alpha_", "lambda_", "sigma_"),
    "LinearDiscriminantAnalysis": ("coef_", "intercept_", "scalings_", "xbar_"),
    "QuadraticDiscriminantAnalysis": ("priors_", "means_", "scalings_", "rotations_"),
    "BayesianGaussianMixture": (
        "weight_concentration_", "mean_precision_", "means_", "degrees_of_freedom_", "covariances_",
    ),
    "StandardScaler": ("mean_", "scale_"),
    "_BasePCA": ("components_", "mean_", "explained_variance_"),
    "FactorAnalysis": ("components_", "mean_", "noise_variance_"),
    "_PLS": ("coef_", "intercept_", "x_rotations_", "y_rotations_", "_x_mean", "_x_std"),
    "PLSSVD": ("x_weights_", "y_weights_", "_x_mean", "_x_std"),
    "TfidfVectorizer": ("vocabulary_", "idf_"),
    "FeatureAgglomeration": ("labels_",),  # of features
    # about the training rows alone, or drawn whatever the data
    "DBSCAN": (),
    "ClassicalMDS": (),
    "BaseRandomProjection": (),
}  # fmt: skip

# Public fitted attributes that are no learned parameters, or are computed from those that are.
_BOOKKEEPING = frozenset(
    name
    for names in (
        # names, and what is said of training rows
        """
        classes_ feature_names_ feature_names_in_ labels_ row_labels_ column_labels_ rows_ columns_ embedding_
        children_ distances_ affinity_matrix_ dissimilarity_matrix_ dist_matrix_ dist_ core_sample_indices_
        core_distances_ ordering_ reachability_ predecessor_ cluster_hierarchy_ probabilities_
        negative_outlier_factor_ transduction_ labeled_iter_ inlier_mask_ outliers_ support_ raw_support_
        cluster_centers_indices_ component_indices_ x_scores_ y_scores_
        """,
        # how training went
        """
        t_ loss_ best_loss_ loss_curve_ error_ loglike_ validation_score_ validation_scores_
        best_validation_score_ train_score_ scores_ inertia_ reconstruction_err_ reconstruction_error_ stress_
        kl_divergence_ learning_rate_ dual_gap_ eps_ costs_ lower_bound_ lower_bounds_ bound_
        log_marginal_likelihood_value_ criterion_ breakdown_ estimator_errors_ refit_time_ best_score_
        h_samples_ history_
        """,
        # hyperparameters that a search inside the estimator, or a heuristic, has chosen, and the search's path
        """
        alpha_ alphas_ cv_alphas_ lambda_ C_ Cs_ l1_ratio_ l1_ratios_ gamma_ bandwidth_ shrinkage_ best_params_
        cv_results_ cv_values_ mse_path_ coef_path_ coefs_paths_ active_ class_weight_ epsilon_ doc_topic_prior_
        topic_word_prior_ density_ drop_idx_ references_ output_indices_ shape_fit_
        """,
        # computed from others, or on the way to them
        """
        feature_importances_ pvalues_ variances_ ranking_ precision_ precisions_ precisions_cholesky_
        raw_location_ raw_covariance_ explained_variance_ explained_variance_ratio_ singular_values_ singular_
        noise_variance_ mixing_ whitening_ exp_dirichlet_component_ X_offset_ X_scale_ X_min_ X_max_ data_min_
        data_max_ data_range_ max_abs_ class_count_ feature_count_ feature_all_ category_count_ deviations_ f_
        root_ dummy_leaf_
        """,
        # drawn at random, whatever the data
        """
        random_weights_ random_offset_ indexHash_ bitHash_ code_book_ order_ estimators_features_
        estimators_samples_ random_state_ random_state
        """,
    )
    for name in names.split()
)
_BOOKKEEPING_STARTS = ("_", "n_", "oob_")
_LOOKUPS = ("categories_", "vocabulary_")  # texts that new rows are looked up in
# Attribute -> hyperparameter, and its value where the estimator lacks it: learned, and used only if that is true.
_USED_IF = {"mean_": ("with_mean", True), "explained_variance_": ("whiten", False)}


class Found(NamedTuple):
    """One learned array, number or tree, and where it is.

    Attributes:
        path: of its estimator from the outermost, as in ``pipe.estimators_[3]``; empty for itself.
        name: attribute, with an index where that holds a list.
        owner: the estimator.
        value: array, sparse matrix, number, dict, tensor or tree; or a function that computes it.
        size: how many learned numbers it holds.
        features, classes: names of its estimator's, where known and asked for.
    """

    path: str
    name: str
    owner: Any
    value: Any
    size: int
    features: tuple[str, ...] | None
    classes: tuple[str, ...] | None


def find(
    estimator: Any, names: Names | None = None, path: str = "", seen: dict[Any, Any] | None = None
) -> Iterator[Found]:
    """Everything that an estimator learned, each object once.

    Args:
        estimator: fitted.
        names: of features and classes; None where nobody will read them, which is faster.
        path, seen: where it is in the outermost; and what was met there, by its id or place in memory.
    """
    seen = {} if seen is None else seen
    if id(estimator) in seen:
        return
    seen[id(estimator)] = estimator  # kept, so that no other object gets its id
    here = None if names is None else own_names(estimator, names)
    module = getattr(estimator, "module_", estimator)
    if hasattr(module, "named_parameters"):  # skorch, or torch itself
        for name, tensor in module.named_parameters():
            if getattr(tensor, "requires_grad", True):
                yield _found(path, name, estimator, tensor, int(tensor.numel()), here)
        return
    if hasattr(type(estimator), "get_support") and hasattr(estimator, "n_features_in_"):
        yield _found(path, "support_", estimator, estimator.get_support, int(estimator.n_features_in_), here)
    for name, value in _attributes(estimator):
        if name in ("steps", "transformer_list", "transformers_"):
            for label, child, its_names in parts_of(estimator, value, here):
                yield from find(child, its_names, _join(path, label), seen)
        else:
            yield from _values(estimator, name, value, here, path, seen)


def tree_arrays(tree: Any) -> tuple[Any, Any, Any, int]:
    """Feature and threshold of each split of a tree, the values of each leaf, and the depth."""
    if hasattr(tree, "nodes"):  # of histogram gradient boosting
        nodes, is_leaf = tree.nodes, tree.nodes["is_leaf"].astype(bool)
        splits = nodes[~is_leaf]
        return splits["feature_idx"], splits["num_threshold"], nodes[is_leaf]["value"], int(nodes["depth"].max())
    is_leaf = tree.children_left == -1
    values = tree.value[is_leaf].reshape(int(is_leaf.sum()), -1)
    return tree.feature[~is_leaf], tree.threshold[~is_leaf], values, int(tree.max_depth)


def is_tree(value: Any) -> bool:
    """Whether it is a tree's own structure, of any of scikit-learn's kinds."""
    return type(value).__name__ in ("Tree", "TreePredictor") and type(value).__module__.startswith("sklearn.")


def _tree_size(tree: Any) -> int:
    """Two numbers a split (feature, threshold), and the values of each leaf; every split has two branches."""
    if hasattr(tree, "nodes"):
        n_nodes, n_values = len(tree.nodes), 1
    else:
        n_nodes, n_values = tree.node_count, tree.n_outputs * tree.max_n_classes
    return int(2 * (n_nodes // 2) + (n_nodes + 1) // 2 * n_values)


@functools.lru_cache(maxsize=1024)
def _exact(kind: Any) -> tuple[str, ...] | None:
    """What the table says of a class or its nearest base that is scikit-learn's."""
    return next(
        (_LEARNED[b.__name__] for b in kind.__mro__ if b.__name__ in _LEARNED and b.__module__.startswith("sklearn.")),
        None,
    )


def _attributes(estimator: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of the fitted attributes that hold what was learned here or further inside."""
    kind: Any = type(estimator)
    names: Iterable[str] | None = _exact(kind)
    if names is None:
        names = [
            name
            for name in getattr(estimator, "__dict__", ())
            if name.endswith("_") and name not in _BOOKKEEPING and not name.startswith(_BOOKKEEPING_STARTS)
        ]
    for name in names:
        hyperparameter, default = _USED_IF.get(name, ("", True))
        value = getattr(estimator, name, None)
        if value is not None and getattr(estimator, hyperparameter, default):
            yield name, value


def _values(owner: Any, name: str, value: Any, names: Names | None, path: str, seen: dict[Any, Any]) -> Iterator[Found]:
    """The arrays in one attribute, or in one item of its list."""
    if isinstance(value, np.ndarray) and (value.dtype.kind in "fciub" or name.startswith(_LOOKUPS)):
        place = (id(owner), value.__array_interface__["data"][0], value.nbytes)  # the same under a second name
        if value.size and place not in seen:
            seen[place] = value
            yield _found(path, name, owner, value, value.size, names)
    elif isinstance(value, (float, complex, np.inexact)):
        yield _found(path, name, owner, value, 1, names)
    elif isinstance(value, (str, bytes, int, type, types.FunctionType, np.generic)):
        return
    elif is_tree(value):
        yield _found(path, name, owner, value, _tree_size(value), names)
    elif hasattr(value, "fit") or hasattr(value, "calibrators"):
        yield from find(value, None if names is None else inner_names(owner, name, names), _join(path, name), seen)
    elif hasattr(value, "nnz"):  # sparse
        yield _found(path, name, owner, value, int(value.nnz), names)
    elif name == "kernel_":
        yield from _values(owner, name, value.theta, names, path, seen)
    elif name.startswith("bsplines_") and hasattr(value, "t"):
        yield _found(path, name, owner, value.t, len(value.t), names)
    elif name == "tree_" and hasattr(value, "data"):  # of rows, in a kernel density
        yield from _values(owner, name, np.asarray(value.data), names, path, seen)
    elif hasattr(value, "to_numpy"):
        yield from _values(owner, name, value.to_numpy(), names, path, seen)
    elif isinstance(value, (Mapping, list, tuple, np.ndarray)) and len(value) and id(value) not in seen:
        seen[id(value)] = value
        yield from _items(owner, name, value, names, path, seen)


def _items(owner: Any, name: str, value: Any, names: Names | None, path: str, seen: dict[Any, Any]) -> Iterator[Found]:
    """The arrays in a dict, list or array of objects."""
    if isinstance(value, Mapping):
        if name in _LOOKUPS:
            yield _found(path, name, owner, value, len(value), names)
            return
        is_named = name == "named_estimators_"  # whose keys say more than the attribute
        for key, item in value.items():
            yield from _values(owner, str(key) if is_named else f"{name}[{key}]", item, names, path, seen)
        return
    items = value.ravel() if isinstance(value, np.ndarray) else value
    if isinstance(items[0], str):
        return
    if isinstance(items[0], (bool, int, float, np.number)):
        yield _found(path, name, owner, np.asarray(items), len(items), names)
        return
    for i, item in enumerate(items):
        yield from _values(owner, f"{name}[{i}]", item, names, path, seen)


def _found(path: str, name: str, owner: Any, value: Any, size: int, names: Names | None) -> Found:
    features, classes = (None, None) if names is None else (names.features, names.classes)
    return Found(path, name, owner, value, size, features, classes)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
