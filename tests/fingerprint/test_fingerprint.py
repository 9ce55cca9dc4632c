"""Content hashes: the same in every process, another for every change that could change a score."""

import copy
import datetime as dt
import functools
import hashlib
import importlib
import itertools
import json
import linecache
import logging
import os
import py_compile
import re
import subprocess
import sys
import textwrap
import threading
import uuid
from decimal import Decimal
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse, stats
from sklearn import config_context
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import fbeta_score, make_scorer
from sklearn.model_selection import KFold, RepeatedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import hpo
from hpo import InvalidDefinition
from hpo.fingerprint.hashing import OLD_HASHES, fingerprint, fingerprint_and_origins, hash_as_stored, unfitted
from hpo.search_cv.spaces import CandidateSpace
from hpo.study.definition import context_hash, data_hash

ROOT = Path(__file__).resolve().parents[2]
few = settings(max_examples=40, deadline=None, derandomize=True)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Import the given text as the user's module ``mine``; each call replaces it."""
    count = itertools.count()

    def load(text, name="mine", **others):
        folder = tmp_path / str(next(count))
        folder.mkdir()
        for other, other_text in {**others, name: text}.items():
            (folder / f"{other}.py").write_text(textwrap.dedent(other_text))
            monkeypatch.delitem(sys.modules, other, raising=False)
        importlib.invalidate_caches()
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            loaded = importlib.import_module(name)
        for other in {*others, name} & sys.modules.keys():
            monkeypatch.setitem(sys.modules, other, sys.modules[other])
        return loaded

    yield load
    for name in [name for name, m in sys.modules.items() if str(tmp_path) in str(getattr(m, "__file__", ""))]:
        del sys.modules[name]


def run(script, *, hash_seed="0", python=sys.executable, path=(ROOT,), cwd=None):
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run([python, str(script)], env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- values ---

atoms = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=5)
plain = st.recursive(
    atoms,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def typed_text(value):
    """What makes two plain values the same: types and content, not the order of a dict."""
    if isinstance(value, dict):
        return f"dict{sorted((key, typed_text(part)) for key, part in value.items())}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}{[typed_text(part) for part in value]}"
    return f"{type(value).__name__}:{value!r}"


@few
@given(plain, plain)
def test_plain_values_have_the_same_hash_only_if_they_are_the_same(a, b):
    assert (fingerprint(a) == fingerprint(b)) == (typed_text(a) == typed_text(b))
    assert (fingerprint([a, b]) == fingerprint([b, a])) == (typed_text(a) == typed_text(b))
    assert fingerprint({"a": a, "b": b}) == fingerprint({"b": b, "a": a})
    assert fingerprint([a, [b]]) != fingerprint([[a], b])


def test_values_that_are_easily_confused_are_told_apart():
    values = [
        *(
            None,
            False,
            0,
            0.0,
            -0.0,
            "0",
            b"0",
            "",
            b"",
            [],
            (),
            {},
            set(),
            1,
            1.0,
            True,
            "1",
            1j,
            ...,
            [1],
            (1,),
            [[1]],
        ),
        *({1: 1}, {"1": 1}, {1}, {0}, int, float, "int", ["ab", "c"], ["a", "bc"]),
        *(np.int64(1), np.float32(1), np.array([1]), np.array([1.0]), np.array([1], dtype=np.int32), np.array([[1]])),
        *(np.array(["1"]), np.array(["1"], dtype=object), np.array([1], dtype=object)),
    ]
    assert len({fingerprint(value) for value in values}) == len(values)


def test_a_hash_is_sixteen_hexadecimal_digits():
    assert len(fingerprint("x")) == 16
    assert int(fingerprint("x"), 16) >= 0


def test_values_that_contain_themselves_have_a_hash():
    one, other = [1], [2]
    one.append(one)
    other.append(other)
    assert fingerprint(one) != fingerprint(other)


# --- data ---


@few
@given(
    hnp.arrays(
        st.sampled_from([np.dtype(d) for d in ("f8", "f4", "i8", "u1", "?", "U3", "M8[s]")]),
        hnp.array_shapes(max_dims=3, max_side=4),
    )
)
def test_memory_layout_does_not_count_but_shape_and_type_do(array):
    expected = fingerprint(array)
    assert fingerprint(np.asfortranarray(array)) == expected
    assert fingerprint(np.repeat(array, 2, axis=0)[::2]) == expected
    assert fingerprint(array.copy()[...]) == expected
    assert fingerprint(array[None]) != expected
    if array.dtype.kind != "M":
        assert fingerprint(array.astype(object)) != expected


@few
@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.floats(-9, 9)), st.data())
def test_one_changed_value_changes_the_hash_in_every_form(array, data):
    i, j = data.draw(st.integers(0, array.shape[0] - 1)), data.draw(st.integers(0, array.shape[1] - 1))
    changed = array.copy()
    changed[i, j] += 1
    forms = [
        np.asarray,
        np.asfortranarray,
        pd.DataFrame,
        lambda a: pd.DataFrame(a).astype("Float64"),
        sparse.csr_array,
        sparse.csc_matrix,
        lambda a: a.astype(object),
        lambda a: a.tolist(),
        lambda a: pd.Series(a[:, 0] if j == 0 else a[:, j]),
    ]
    for form in forms:
        assert fingerprint(form(array)) == fingerprint(form(array.copy()))
        assert fingerprint(form(array)) != fingerprint(form(changed))


def test_a_memory_mapped_array_is_its_content(tmp_path):
    array = np.arange(12.0).reshape(3, 4)
    np.save(tmp_path / "x.npy", array)
    assert fingerprint(np.load(tmp_path / "x.npy", mmap_mode="r")) == fingerprint(array)


FRAME = pd.DataFrame(
    {"n": [1, 2, 3], "x": [0.5, np.nan, 2.0], "s": ["a", "b", "b"], "c": pd.Categorical(["u", "v", "u"])}
)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.assign(n=[1, 2, 4]),
        lambda f: f.assign(n=f["n"].astype("int32")),
        lambda f: f.assign(x=f["x"].fillna(0.0)),
        lambda f: f.assign(s=["a", "b", "c"]),
        lambda f: f.assign(s=f["s"].astype("category")),
        lambda f: f.assign(c=pd.Categorical(["u", "v", "v"])),
        lambda f: f.assign(c=pd.Categorical(["u", "v", "u"], categories=["v", "u"])),
        lambda f: f.assign(c=pd.Categorical(["u", "v", "u"], categories=["u", "v", "w"])),
        lambda f: f.rename(columns={"n": "m"}),
        lambda f: f[["x", "n", "s", "c"]],
        lambda f: f.iloc[::-1],
        lambda f: f.set_axis([5, 6, 7]),
        lambda f: f.iloc[:2],
        lambda f: f["n"],
        lambda f: f.to_numpy(),
    ],
)
def test_every_change_of_a_data_frame_changes_its_hash(change):
    assert fingerprint(FRAME.copy()) == fingerprint(FRAME)
    assert fingerprint(change(FRAME)) != fingerprint(FRAME)


def test_a_column_of_mixed_objects_tells_numbers_from_their_texts():
    one, other = pd.DataFrame({"a": [1, "b"]}, dtype=object), pd.DataFrame({"a": ["1", "b"]}, dtype=object)
    assert fingerprint(one) != fingerprint(other)


def test_a_masked_array_counts_its_mask():
    one, other = np.ma.array([1, 2, 3], mask=[0, 1, 0]), np.ma.array([1, 2, 3], mask=[0, 0, 0])
    assert fingerprint(one) != fingerprint(other)


def test_structured_arrays_count_the_names_of_their_fields():
    assert fingerprint(np.zeros(2, [("a", "f8")])) != fingerprint(np.zeros(2, [("b", "f8")]))


def test_a_sparse_matrix_is_its_content_in_any_format():
    dense = np.array([[0, 1.5, 0], [2, 0, 0]])
    expected = fingerprint(sparse.csr_array(dense))
    for form in (sparse.csc_array, sparse.coo_matrix, sparse.lil_array):
        assert fingerprint(form(dense)) == expected
    twice = sparse.coo_array(([1.0, 0.5, 2.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 3))  # 1.0 + 0.5 at one place
    assert fingerprint(twice) == expected
    assert fingerprint(sparse.csr_array(np.c_[dense, [0, 0]])) != expected
    assert fingerprint(sparse.csr_array(dense.astype(np.float32))) != expected


def test_object_arrays_hold_any_fingerprintable_thing():
    words = np.array([["a", None], [1.5, (1, 2)]], dtype=object)
    assert fingerprint(words) == fingerprint(np.asfortranarray(words.copy()))
    assert fingerprint(words) != fingerprint(words.T)
    ragged = np.empty(2, dtype=object)
    ragged[:] = [[1, 2], [3]]
    assert fingerprint(ragged) != fingerprint(np.array([[1, 2], [4]], dtype=object))
    holding = np.empty(1, dtype=object)
    holding[0] = threading.Lock()
    with pytest.raises(InvalidDefinition, match=r"the data\[0\] is a _thread.lock"):
        fingerprint(holding, "the data")


def test_data_is_hashed_with_its_groups_and_fit_params():
    X, y, w = np.ones((3, 2)), np.array([0, 1, 0]), np.array([1.0, 2.0, 3.0])
    data = [
        hpo.Data(X),
        hpo.Data(X, y),
        hpo.Data(X, None, y),
        hpo.Data(X, y, y),
        hpo.Data(X, y, None, {"sample_weight": w}),
        hpo.Data(X, y, None, {"sample_weight": w[::-1]}),
    ]
    assert len(set(map(data_hash, data))) == len(data)


# --- estimators and other objects ---


def test_estimators_are_their_class_and_parameters():
    def make(**params):
        return make_pipeline(StandardScaler(), SVC(**params))

    assert fingerprint(make(C=2)) == fingerprint(make(C=2))
    different = [make(), make(C=2), make(kernel="linear"), SVC(), StandardScaler(), LogisticRegression(), SVC]
    assert len(set(map(fingerprint, different))) == len(different)
    X, y = np.arange(8.0).reshape(4, 2), [0, 1, 0, 1]
    assert fingerprint(make().fit(X, y)) != fingerprint(make())  # what it learned is a part of it
    assert fingerprint(unfitted(make().fit(X, y))) == fingerprint(make())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (make_scorer(fbeta_score, beta=1), make_scorer(fbeta_score, beta=2)),
        (make_scorer(fbeta_score, beta=1), make_scorer(fbeta_score, beta=1, greater_is_better=False)),
        (KFold(3), KFold(4)),
        (RepeatedKFold(n_repeats=2), RepeatedKFold(n_repeats=3)),
        (functools.partial(np.power, 2), functools.partial(np.power, 3)),
        (np.random.default_rng(1), np.random.default_rng(2)),
        (np.random.RandomState(1), np.random.RandomState(2)),
        (np.sin, np.cos),
        (len, max),
        ("a".join, "b".join),
        (hpo.Holdout(0.2), hpo.Holdout(0.3)),
        (logging.getLogger("a"), logging.getLogger("b")),
        (re.compile("a"), re.compile("b")),
        (re.compile("a"), re.compile("a", re.IGNORECASE)),
        (Path("a"), Path("b")),
        (Path("a"), "a"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_objects_are_their_content(one, other):
    assert fingerprint(one) == fingerprint(one)
    assert fingerprint(one) != fingerprint(other)


def test_a_cache_decides_no_score(tmp_path):
    def add(number):
        return number + 1

    def subtract(number):
        return number - 1

    def cached(memory, function=add):
        return Pipeline([("model", SVC())], memory=memory), memory.cache(function)

    one, other = joblib.Memory(tmp_path / "a", verbose=0), joblib.Memory(None, verbose=0)
    assert fingerprint(cached(one)[0]) == fingerprint(cached(other)[0]) != fingerprint(Pipeline([("model", SVC())]))
    assert fingerprint(cached(one)[1]) == fingerprint(cached(one)[1]) != fingerprint(cached(one, subtract)[1])


def test_a_modules_logger_and_patterns_may_be_used(module):
    text = """
        import logging, pathlib, re
        LOG, WORD, HERE = logging.getLogger(__name__), re.compile("x+"), pathlib.Path("data")
        def build(params):
            LOG.info("building %s", WORD.sub("", str(HERE)))
    """
    assert fingerprint(module(text).build) == fingerprint(module(text).build)
    assert fingerprint(module(text).build) != fingerprint(module(text.replace("x+", "y+")).build)


# --- the user's functions ---

FUNCTION = """
    FACTOR = 2

    def helper(x):
        return x * FACTOR

    def build(params):
        return helper(params["a"])
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return helper", "# a comment\n        return helper"),
        ("return helper", '"""What it does."""\n        return helper'),
        ("return x", '"""What it does."""\n        return x'),
        ('params["a"]', "params['a']"),
        ('helper(params["a"])', 'helper(\n            params["a"],\n        )'),
        ("def build(params):", "\n\n\n    def build(params) :"),
        ("FACTOR = 2", "FACTOR = 2\n    UNUSED = 3"),
        ("FACTOR = 2", "FACTOR = 1 + 1"),
    ],
)
def test_writing_it_otherwise_does_not_count(module, old, new):
    assert old in FUNCTION
    assert fingerprint(module(FUNCTION.replace(old, new)).build) == fingerprint(module(FUNCTION).build)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("FACTOR = 2", "FACTOR = 3"),
        ("FACTOR = 2", "FACTOR = 2.0"),
        ("x * FACTOR", "x + FACTOR"),
        ('params["a"]', 'params["b"]'),
        ("build(params)", "build(params, extra=0)"),
        ("helper(x)", "helper(x, y=1)"),
    ],
)
def test_a_change_of_the_function_or_of_what_it_refers_to_counts(module, old, new):
    assert old in FUNCTION
    assert fingerprint(module(FUNCTION.replace(old, new)).build) != fingerprint(module(FUNCTION).build)


CHANGES = {
    "a default": "def build(params, k={}): return k",
    "a closed-over value": "def make(k):\n    def build(params): return k\n    return build\nbuild = make({})",
    "a lambda": "build = lambda params: params['a'] + {}",
    "a lambda closed over": "def make(k):\n    return lambda params: k\nbuild = make({})",
    "a lambda in a call": "import functools\nbuild = functools.partial(\n    lambda params, k: {} + k,\n    k=1)",
    "a constant in a list comprehension": "K = {}\ndef build(params): return [K for _ in params]",
    "a constant in a generator expression": "K = {}\ndef build(params): return sum(K for _ in params)",
    "a constant in an inner function": "K = {}\ndef build(params):\n    def inner(): return K\n    return inner()",
    "a helper in an inner lambda": "def h(): return {}\ndef build(params): return (lambda: h())()",
    "a helper's helper": "def a(): return {}\ndef b(): return a()\ndef build(params): return b()",
    "a default made from a name": "K = {}\ndef build(params, k=K): return k",
    "a decorated function": (
        "import functools\ndef twice(f):\n    @functools.wraps(f)\n    def wrapper(p): return f(p) * 2\n"
        "    return wrapper\n"
        "@twice\ndef build(params): return {}"
    ),
    "a decorator": (
        "import functools\ndef times(f):\n    @functools.wraps(f)\n    def wrapper(p): return f(p) * {}\n"
        "    return wrapper\n"
        "@times\ndef build(params): return 1"
    ),
    "a function in a dict": "def a(): return {}\nTABLE = dict(a=a)\ndef build(params): return TABLE['a']()",
    "a recursive function": "def build(n): return build(n - 1) if n else {}",
    "functions that call each other": "def a(n): return b(n) + {}\ndef b(n): return a(n)\ndef build(n): return b(n)",
    "a class": "class A:\n    def f(self): return {}\ndef build(params): return A().f()",
    "a class attribute": "class A:\n    k = {}\ndef build(params): return A.k",
    "what a class refers to": "K = {}\nclass A:\n    def f(self): return K\ndef build(params): return A().f()",
    "a helper of a class": (
        "def h(): return {}\nclass A:\n    def f(self): return h()\ndef build(params): return A().f()"
    ),
    "a base class": "class A:\n    k = {}\nclass B(A): pass\ndef build(params): return B.k",
    "an instance": "class A:\n    def __init__(self, k): self.k = k\na = A({})\ndef build(params): return a.k",
    "a bound method": (
        "class A:\n    def __init__(self, k): self.k = k\n    def f(self, p): return self.k\nbuild = A({}).f"
    ),
    "a numpy constant": "import numpy as np\nK = np.array([{}])\ndef build(params): return K",
    "an asynchronous function": "async def build(params): return {}",
}


def assert_its_number_counts(module, text):
    one, again, other = (fingerprint(module(text.replace("{}", number)).build) for number in ("1", "1", "2"))
    assert one == again
    assert one != other


@pytest.mark.parametrize("text", CHANGES.values(), ids=CHANGES)
def test_a_changed_number_counts_wherever_it_is(module, text):
    assert_its_number_counts(module, text)


@pytest.mark.parametrize("text", CHANGES.values(), ids=CHANGES)
def test_a_changed_number_counts_where_there_is_no_source(text):
    """As in ``exec``, or at a bare prompt."""

    def build(number):
        names = {"__name__": "nowhere"}
        exec(text.replace("{}", number), names)
        return names["build"]

    one, again, other = (fingerprint(build(number)) for number in ("1", "1", "2"))
    assert one == again
    assert one != other


def test_a_notebook_cell_counts_by_its_source():
    def cell(number, text):
        """IPython compiles a cell under a name of its own and puts its lines into linecache."""
        name = f"<ipython-input-{number}-{hashlib.sha1(text.encode()).hexdigest()}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        names = {"__name__": "__main__"}
        exec(compile(text, name, "exec"), names)
        return fingerprint(names["build"])

    text = "K = 1\ndef build(params):\n    return K + 1\n"
    assert cell(1, text) == cell(2, text)
    assert cell(3, "# run again\n" + text.replace("return", "'''Add.'''\n    return")) == cell(1, text)
    assert cell(4, text.replace("K = 1", "K = 2")) != cell(1, text)
    assert cell(5, text.replace("K + 1", "K + 2")) != cell(1, text)


def test_a_module_the_function_calls_counts_by_its_source(module):
    text = "import extra\ndef build(params): return extra.f()"
    one = fingerprint(module(text, extra="def f(): return 1").build)
    assert fingerprint(module(text, extra="# why\ndef f():\n    return 1").build) == one
    assert fingerprint(module(text, extra="def f(): return 2").build) != one


def test_a_module_imported_by_a_module_the_function_calls_counts(module):
    text = "import extra\ndef build(params): return extra.f()"
    extra = "import deeper\ndef f(): return deeper.g()"
    one, other = (fingerprint(module(text, extra=extra, deeper=f"def g(): return {k}").build) for k in (1, 2))
    assert one != other


def test_installed_packages_count_by_name_alone(module):
    text = "import numpy as np\nfrom sklearn.svm import SVC\ndef build(params): return SVC(C=np.exp({}))"
    assert fingerprint(module(text.replace("{}", "1")).build) != fingerprint(module(text.replace("{}", "2")).build)


def test_a_function_of_a_library_may_be_imported_by_its_own_name(module):
    text = "from numpy.linalg import {0}\ndef build(params): return {0}(params)"
    hashes = {fingerprint(module(text.format(name)).build) for name in ("norm", "det")}
    assert len(hashes) == 2


def test_a_name_that_is_only_an_attribute_is_not_referred_to(module):
    # x.lock is an attribute; the module's own lock is another thing, and no part of the function.
    text = "import threading\nlock = threading.Lock()\ndef build(x): return x.lock"
    assert fingerprint(module(text).build) == fingerprint(module(text.replace("lock = threading.Lock()", "")).build)


def test_where_and_in_which_module_a_function_is_written_does_not_count(module):
    one = module(FUNCTION, name="mine").build
    assert fingerprint(module("# moved\n\n" + textwrap.dedent(FUNCTION), name="yours").build) == fingerprint(one)


def test_an_edited_script_that_is_loaded_again_has_another_hash(tmp_path):
    """As in a notebook whose user edits the script meanwhile."""
    script = tmp_path / "edited.py"
    # Functions alone: inspect, which a class needs, would refresh linecache for them.
    text = textwrap.dedent("""
        import hpo
        from sklearn.datasets import load_iris
        from sklearn.svm import SVC

        def build(params):
            return SVC(C=params["C"], degree=2)

        study = hpo.StudyDefinition("edited", load_iris, build, {"C": [1, 2]}, "accuracy", reference={"C": 1})
    """)
    hashes = []
    for edited in (text, text.replace("degree=2", "degree=3"), "# a comment\n" + text):
        script.write_text(edited)
        os.utime(script, (len(hashes), len(hashes)))  # the file's time differs, as after an edit by hand
        hashes.append(hpo.find_study(script).fixed_hashes["estimator"])
    assert hashes[0] == hashes[2] != hashes[1]


def test_two_scripts_of_one_name_keep_their_own_sources(tmp_path):
    studies = []
    for folder, weight in (("a", "1"), ("b", "2")):
        (tmp_path / folder).mkdir()
        script = tmp_path / folder / "same.py"
        script.write_text(STUDY.replace("{name}", "same").replace("WEIGHT", weight))
        studies.append(hpo.find_study(script))
    # Hashed after both were loaded, and as if each had been loaded alone.
    hashes = [study.fixed_hashes for study in studies]
    assert hashes[0]["metric"] != hashes[1]["metric"]
    alone = hpo.find_study(tmp_path / "a" / "same.py")
    assert alone.fixed_hashes == hashes[0]


# --- an estimator is more than its parameters ---

X4, Y4 = np.arange(8.0).reshape(4, 2), [0, 1, 0, 1]


def with_attribute(value):
    estimator = SVC()
    estimator.kept = value
    return estimator


@pytest.mark.parametrize(
    "make",
    [
        lambda k: FrozenEstimator(LogisticRegression().fit(X4 * k, Y4)),
        lambda k: make_pipeline(FrozenEstimator(StandardScaler().fit(X4 * k)), SVC()),
        lambda k: StandardScaler().set_output(transform="default" if k == 1 else "pandas"),
        with_attribute,
        lambda k: make_pipeline(with_attribute(np.arange(3) * k)),
    ],
    ids=["frozen", "frozen in a pipeline", "set_output", "an attribute", "an array in a pipeline"],
)
def test_what_an_estimator_holds_beside_its_parameters_counts(make):
    assert fingerprint(make(1)) == fingerprint(make(1)) != fingerprint(make(2))


def test_requests_of_metadata_routing_count():
    with config_context(enable_metadata_routing=True):
        asks, refuses = (LogisticRegression().set_fit_request(sample_weight=asked) for asked in (True, False))
    assert len({fingerprint(asks), fingerprint(refuses), fingerprint(LogisticRegression())}) == 3


def test_what_a_study_clones_counts_as_it_is_cloned():
    def study(estimator):
        return hpo.StudyDefinition("s", lambda: (X4, Y4), estimator, {"C": [1, 2]}, "accuracy")

    fitted = LogisticRegression().fit(X4, Y4)
    assert study(fitted).fixed_hashes == study(LogisticRegression()).fixed_hashes


def test_a_part_without_content_beside_the_parameters_is_no_reason_to_refuse():
    locked = SVC()
    locked.lock = threading.Lock()
    assert fingerprint(locked) != fingerprint(SVC())


# --- code behind descriptors, and imports ---

HIDDEN = {
    "available_if": (
        "from sklearn.utils.metaestimators import available_if\nclass A:\n    @available_if(lambda self: True)\n"
        "    def f(self): return {}\nbuild = A()"
    ),
    "what available_if asks": (
        "from sklearn.utils.metaestimators import available_if\nclass A:\n    @available_if(lambda self: {})\n"
        "    def f(self): return 1\nbuild = A()"
    ),
    "cached_property": (
        "import functools\nclass A:\n    @functools.cached_property\n    def f(self): return {}\nbuild = A()"
    ),
    "property": "class A:\n    @property\n    def f(self): return {}\nbuild = A()",
    "a setter": (
        "class A:\n    @property\n    def f(self): return 0\n    @f.setter\n"
        "    def f(self, v): self.k = {}\nbuild = A()"
    ),
    "a cached method": "import functools\nclass A:\n    @functools.lru_cache\n    def f(self): return {}\nbuild = A()",
    "partialmethod": (
        "import functools\nclass A:\n    def g(self, k): return k\n    f = functools.partialmethod(g, {})\nbuild = A()"
    ),
    "singledispatch": (
        "import functools\n@functools.singledispatch\ndef build(p): return 0\n@build.register\ndef _(p: int): return {}"
    ),
    "singledispatchmethod": (
        "import functools\nclass A:\n    @functools.singledispatchmethod\n    def f(self, p): return 0\n"
        "    @f.register\n    def _(self, p: int): return {}\nbuild = A()"
    ),
    "a descriptor of the user's": (
        "class D:\n    def __init__(self, f): self.f = f\n    def __get__(self, o, t=None): return self.f(o)\n"
        "class A:\n    f = D(lambda self: {})\nbuild = A()"
    ),
    "slots": "class A:\n    __slots__ = ('k',)\nbuild = A()\nbuild.k = {}",
    "a list with attributes": "class A(list): pass\nbuild = A([1])\nbuild.k = {}",
}


@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN)
def test_a_changed_number_counts_behind_a_descriptor(module, text):
    assert_its_number_counts(module, text)


@pytest.mark.parametrize(
    "text",
    [
        "def build(params):\n    from extra import f\n    return f()",
        "def build(params):\n    import extra\n    return extra.f()",
        "def build(params):\n    import extra as e\n    return [e.f() for _ in params]",
        "def build(params):\n    def inner():\n        from extra import f\n        return f()\n    return inner()",
        "class A:\n    def g(self):\n        from extra import f\n        return f()\nbuild = A()",
    ],
)
def test_what_a_function_imports_when_it_runs_counts(module, monkeypatch, text):
    def hashed(number):
        with monkeypatch.context() as patch:
            loaded = module(text, extra=f"def f(): return {number}")
            patch.syspath_prepend(Path(loaded.__file__).parent)  # as the folder of a script stays there
            digest = fingerprint(loaded.build)
            patch.delitem(sys.modules, "extra")
        return digest

    assert hashed(1) == hashed(1) != hashed(2)


def test_a_library_that_a_function_imports_when_it_runs_is_named_and_not_read(module):
    found = fingerprint_and_origins(
        module("def build(params):\n    from sklearn.svm import SVC\n    return SVC()").build
    )
    assert found.distributions["scikit-learn"] == version("scikit-learn")


# --- libraries and the user's own ---


def installed(folder, name, text, *, number="1.0", lists=True):
    """A package as pip leaves it in any folder."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(text)
    info = folder / f"{name}-{number}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    record = [f"{name}.py,,"] if lists else []
    (info / "RECORD").write_text("\n".join([*record, f"{info.name}/METADATA,,", f"{info.name}/RECORD,,"]) + "\n")
    (info / "top_level.txt").write_text(f"{name}\n")
    return folder


@pytest.mark.parametrize("lists", [True, False], ids=["listed", "editable"])
def test_the_distribution_that_lists_a_file_decides_whether_it_is_a_librarys(tmp_path, monkeypatch, lists):
    hashes, versions = [], []
    for number in ("1.0", "2.0"):
        folder = installed(tmp_path / number, "boost_", f"class Boost:\n    k = {number}\n", number=number, lists=lists)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            patch.delitem(sys.modules, "boost_", raising=False)
            found = fingerprint_and_origins(importlib.import_module("boost_").Boost)
            hashes.append(found.digest)
            versions.append(found.distributions.get("boost_"))
    assert (hashes[0] == hashes[1]) == lists  # by name; or, as code under development, by its source
    assert versions == (["1.0", "2.0"] if lists else [None, None])


def test_another_version_of_a_package_is_another_context(tmp_path, monkeypatch):
    contexts = []
    text = "from sklearn.svm import SVC\nclass Boost(SVC): pass\n"
    for number in ("1.0", "2.0"):
        folder = installed(tmp_path / number, "boost_", text, number=number)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            patch.delitem(sys.modules, "boost_", raising=False)
            boost = importlib.import_module("boost_").Boost()
            study = hpo.StudyDefinition("s", lambda: (X4, Y4), boost, {"C": [1, 2]}, "accuracy")
            hashes = study.hashes(study.load())
            contexts.append((hashes, context_hash(hashes, 0, study.distributions)))
    assert contexts[0][0] == contexts[1][0]
    assert contexts[0][1] != contexts[1][1]


def test_a_module_without_source_counts_by_its_bytes(tmp_path, monkeypatch):
    hashes = []
    for number in (1, 1, 2):
        folder = tmp_path / str(len(hashes))
        folder.mkdir()
        (folder / "compiled_.py").write_text(f"class A:\n    def f(self): return {number}\ndef g(): return A()\n")
        py_compile.compile(
            str(folder / "compiled_.py"), cfile=str(folder / "compiled_.pyc"), dfile="compiled_.py",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )  # fmt: skip
        (folder / "compiled_.py").unlink()
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            patch.delitem(sys.modules, "compiled_", raising=False)
            loaded = importlib.import_module("compiled_")
            hashes.append((fingerprint(loaded), fingerprint(loaded.A)))
            patch.delitem(sys.modules, "compiled_", raising=False)
    assert hashes[0] == hashes[1]
    assert not set(hashes[0]) & set(hashes[2])


# --- spaces ---


class Ramp(stats.rv_continuous):
    """A distribution of the user's own."""

    def _cdf(self, x):
        return x**2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        tuple(stats.rv_discrete(name="d", values=(values, [0.5, 0.5]))() for values in ([1, 2], [3, 8])),
        tuple(stats.rv_histogram(np.histogram([1, 2, last], bins=2))() for last in (3.0, 9.0)),
        (Ramp(a=0, b=1)(), Ramp(a=0, b=2)()),
        (stats.norm(0, 1), stats.norm(0, 2)),
    ],
    ids=["discrete", "histogram", "own", "scipy's"],
)  # fmt: skip
def test_distributions_are_told_apart_by_what_they_are_made_of(one, other):
    assert hpo.SearchSpace({"x": one}).fingerprint != hpo.SearchSpace({"x": other}).fingerprint
    assert hpo.SearchSpace({"x": one}).fingerprint == hpo.SearchSpace({"x": one}).fingerprint


def columns(which):
    return ColumnTransformer([("numeric", StandardScaler(), which)], remainder="drop")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([columns([0, 1])], [columns([2, 3])]),
        ([np.arange(2000.0)], [np.where(np.arange(2000) == 1000, -1.0, np.arange(2000.0))]),
        ([functools.partial(np.power, 2)], [functools.partial(np.power, 3)]),
        ([FrozenEstimator(SVC().fit(X4, Y4))], [FrozenEstimator(SVC().fit(X4 * 9, Y4))]),
    ],
    ids=["column transformers", "arrays", "partials", "frozen"],
)
@pytest.mark.parametrize("beside", [stats.loguniform(0.1, 10), [1, 2]], ids=["a distribution", "a list"])
def test_objects_to_choose_from_are_told_apart_by_content(one, other, beside):
    hashes = [fingerprint(CandidateSpace({"part": part, "C": beside}).content()) for part in (one, one, other)]
    assert hashes[0] == hashes[1] != hashes[2]


# --- data of other libraries ---

CELLS = [
    *(Decimal("1.5"), dt.date(2020, 1, 1), dt.datetime(2020, 1, 1), uuid.UUID(int=1), Fraction(1, 3), Path("x")),
    *(pd.Timestamp("2020"), pd.Timedelta("1s"), pd.NA, pd.NaT, pd.Interval(0, 1), frozenset("ab")),
]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: type(cell).__name__)
def test_cells_of_any_kind_have_content(cell):
    def frame(value):
        return pd.DataFrame({"x": [1, 2]}).assign(extra=pd.Series([cell, value], dtype=object))

    assert fingerprint(frame(cell)) == fingerprint(copy.deepcopy(frame(cell))) != fingerprint(frame("another"))


def arrow_table(values):
    return pytest.importorskip("pyarrow").table({"a": values, "s": ["x", None, "z"]})


def polars_frame(values):
    return pytest.importorskip("polars").DataFrame({"a": values, "s": ["x", None, "z"]})


@pytest.mark.parametrize(
    "make",
    [
        pd.Index,
        pd.Categorical,
        pd.array,
        lambda values: pd.array(values, dtype="Int64"),
        lambda values: pd.Series(values, dtype="string").array,
        lambda values: pd.MultiIndex.from_arrays([values, values]),
        arrow_table,
        lambda values: arrow_table(values).column(0),
        polars_frame,
        lambda values: pytest.importorskip("torch").tensor(values),
        lambda values: np.array(values, dtype=np.longdouble),
        lambda values: np.array([(v, 1) for v in values], dtype=np.dtype([("a", "f8"), ("b", "u1")], align=True)),
    ],
    ids=[
        "Index", "Categorical", "array", "Int64", "string", "MultiIndex", "arrow table", "arrow column", "polars",
        "tensor", "long double", "structured",
    ],
)  # fmt: skip
def test_one_changed_value_counts_in_containers_of_any_library(make):
    assert fingerprint(make([1, 2, 3])) == fingerprint(make([1, 2, 3])) != fingerprint(make([1, 2, 4]))


# --- hashes are kept ---

GOLDEN = {
    "study kept-tree, estimator": "b11fe1b9839b1a57",
    "study kept-built, estimator": "9240c81e866da55c",
    "study kept-built, space": "70f567dc05fb0e98",
    "study kept-tree, split": "fbd682ec6ee1da08",
    "study kept-built, split": "067110707fc87279",
    "study kept-drawn, space": "b492ac2646cdf3c6",
}


def test_hashes_of_today_are_those_of_the_versions_before():
    sys.path.insert(0, str(ROOT / "tests" / "databases"))
    try:
        kept = importlib.import_module("kept")
    finally:
        sys.path.pop(0)
    found = {
        f"study {name}, {part}": digest for name, s in kept.STUDIES.items() for part, digest in s.fixed_hashes.items()
    }
    assert {key: found[key] for key in GOLDEN} == GOLDEN


def test_a_class_of_this_package_has_one_name_wherever_its_module_lies(monkeypatch):
    split, space = hpo.Holdout(0.2, 0.2), {"x": hpo.Int(1, 3)}
    before = fingerprint([split, space, hpo.SearchSpace(space)])
    for kind in (hpo.Holdout, hpo.Int, hpo.SearchSpace):
        monkeypatch.setattr(kind, "__module__", "hpo.study.elsewhere")
    monkeypatch.setitem(sys.modules, "hpo.study.elsewhere", sys.modules["hpo.study.splits"])
    assert fingerprint([split, space, hpo.SearchSpace(space)]) == before


def test_a_function_with_a_format_string_has_one_hash_in_every_python(module):
    text = """def build(p):\n    return f"{p!r:>{4}} 'a' {p['b']}" f'{p}'"""
    assert fingerprint(module(text).build) == "1e9e590d7adfaae4"


def test_what_was_hashed_otherwise_before_is_recognised(module):
    fitted = SVC().fit(X4, Y4)
    before = fingerprint(fitted, version=OLD_HASHES)
    assert fingerprint(fitted) != before
    assert hash_as_stored(fitted, "it", before).digest == before
    assert hash_as_stored(SVC(C=2), "it", before).digest == fingerprint(SVC(C=2))


# --- what cannot be hashed ---


class Odd:
    """Raises wherever it is looked at."""

    def __init__(self, error):
        self.error = error

    def get_params(self, deep=True):
        raise self.error


@pytest.mark.parametrize(
    "error", [TypeError("no"), UnicodeDecodeError("utf-8", b"x", 0, 1, "no"), OverflowError("no"), RuntimeError("no")]
)
def test_whatever_an_object_raises_is_one_line_that_names_it(error):
    with pytest.raises(
        InvalidDefinition, match=rf"my model\[1\] is a .*Odd, which cannot be fingerprinted: {type(error).__name__}"
    ):
        fingerprint([1, Odd(error)], "my model")


def test_what_is_nested_too_deeply_is_refused_and_large_numbers_are_not():
    deep = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(InvalidDefinition, match="too deeply"):
        fingerprint(deep, "it")
    assert fingerprint(10**5000) != fingerprint(10**5000 + 1)
    assert fingerprint("\ud800") != fingerprint("\ud801")


def test_the_remedy_fits_what_it_is_a_part_of():
    with pytest.raises(InvalidDefinition, match="convert it"):
        data_hash(hpo.Data(np.array([threading.Lock()], dtype=object)))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: path.open("w"), "TextIOWrapper"),
        (lambda path: path.open("wb"), "BufferedWriter"),
        (lambda path: (i for i in range(3)), "generator"),
        (lambda path: threading.Lock(), "lock"),
        (lambda path: iter([1, 2]), "list_iterator"),
        (lambda path: map(str, [1]), "map"),
    ],
    ids=["text file", "binary file", "generator", "lock", "iterator", "map"],
)
def test_what_has_no_content_is_refused_by_name(tmp_path, make, kind):
    thing = make(tmp_path / "file")
    try:

        def build(params):
            return thing

        for value, name in (
            (build, r"thing \(used by my estimator\)"),
            ([1, {"k": thing}], r"my estimator\[1\]\['k'\]"),
        ):
            with pytest.raises(InvalidDefinition, match=rf"{name}.* is a \S*{kind}, which cannot be fingerprinted"):
                fingerprint(value, "my estimator")
    finally:
        if hasattr(thing, "close"):
            thing.close()


# --- other processes ---

VALUES = '''
import functools, json
import numpy as np
from hpo.fingerprint.hashing import OLD_HASHES, fingerprint, fingerprint_and_origins, hash_as_stored, unfitted

WORDS = {"alpha", "beta", "gamma", "delta", "epsilon"}

class Thing:
    tags = {"one", "two", "three", "four"}
    def __init__(self): self.words = set(WORDS)

def build(params):
    return {k: v for k, v in params.items() if k not in {"width", "depth", "height"}} | {w: 1 for w in WORDS}

names = {"__name__": "nowhere"}
exec("""def build(params):
    return {k: v for k, v in params.items() if k not in {"width", "depth", "height", "length"}}""", names)

print(json.dumps({
    "set": fingerprint(WORDS),
    "nested": fingerprint({"a": [frozenset(WORDS), {"b": WORDS}]}),
    "keys": fingerprint({frozenset({w, w + "s", w + "t"}): i for i, w in enumerate(sorted(WORDS))}),
    "functions as keys": fingerprint({build: 1, Thing: 2, functools.partial(build, 1): 3, (lambda: 0): 4}),
    "object": fingerprint(Thing()),
    "function": fingerprint(build),
    "lambda": fingerprint(lambda p: p in {"x", "y", "z"}),
    "exec": fingerprint(names["build"]),
    "array": fingerprint(np.array(sorted(WORDS), dtype=object)),
    "partial": fingerprint(functools.partial(build, words=WORDS)),
}))
'''


def test_hashes_are_the_same_in_processes_with_other_hash_seeds(tmp_path):
    script = tmp_path / "values.py"
    script.write_text(VALUES)
    results = [run(script, hash_seed=seed) for seed in ("0", "1", "2", "3")]
    differing = {key for key in results[0] if len({result[key] for result in results}) > 1}
    assert len(results[0]) == 10
    assert differing == set()


STUDY = '''
"""A study whose every part is the user's own."""
import json
import sys

import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import hpo

FACTOR = 2


class Centred(StandardScaler):
    """The user's own transformer."""

    def transform(self, X):
        return super().transform(X) * FACTOR


class Score:
    weight = WEIGHT

    def __call__(self, estimator, X, y):
        return float(np.mean(estimator.predict(X) == y)) * self.weight


def strength(a):
    return a * FACTOR


def build(params):
    from sklearn.pipeline import make_pipeline
    return make_pipeline(params["scale"], LogisticRegression(C=strength(params["C"]), max_iter=200))


study = hpo.StudyDefinition(
    name="{name}",
    data=lambda: load_iris(as_frame=True),
    estimator=build,
    space={"C": hpo.Float(0.1, 1, log=True), "scale": hpo.Categorical({"own": Centred(), "none": StandardScaler()})},
    reference={"C": 1.0, "scale": "own"},
    metric=Score(),
    extra_metrics=["accuracy"],
)

if __name__ == "__main__":
    from hpo.study.definition import context_hash, data_hash
    print(json.dumps({**study.fixed_hashes, "data": data_hash(study.load())}))
'''


def test_a_script_has_the_same_hashes_run_by_itself_and_loaded(tmp_path):
    script = tmp_path / "own_parts.py"
    script.write_text(STUDY.replace("{name}", "own").replace("WEIGHT", "1.5"))
    study = hpo.find_study(script)
    assert run(script, hash_seed="5") == {**study.fixed_hashes, "data": data_hash(study.load())}


def test_a_project_beside_the_environment_is_the_users_own(tmp_path):
    """``project`` beside an environment ``pro``: one path begins as the other, and neither holds the other."""
    environment, project = tmp_path / "pro", tmp_path / "project"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    project.mkdir()
    (project / "main.py").write_text(
        "import json, mine\nfrom hpo.fingerprint.hashing import fingerprint\n"
        "print(json.dumps(fingerprint(mine.build)))\n"
    )
    packages = Path(np.__file__).parent.parent
    hashes = []
    for number in (1, 22):  # of another length, so that Python cannot take the compiled file for the new one
        (project / "mine.py").write_text(f"def build(params): return {number}\n")
        hashes.append(run(project / "main.py", python=environment / "bin" / "python", path=(ROOT, packages)))
    assert hashes[0] != hashes[1]
