"""The examples in docstrings run, and every public function and class has one."""

import doctest
import importlib
from pathlib import Path

import pytest

import hpo

HPO = Path(hpo.__file__).parent
WITH_EXAMPLES = sorted(path for path in HPO.rglob("*.py") if ">>>" in path.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(HPO)))
def test_examples_run(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(".".join(path.relative_to(HPO.parent).with_suffix("").parts))
    failed, tried = doctest.testmod(module, optionflags=doctest.ELLIPSIS, verbose=False)
    assert not failed, capsys.readouterr().out
    assert tried


def test_every_public_function_and_class_has_an_example():
    made_by_others = {"Comparison"}  # see compare
    for name in set(hpo.__all__) - made_by_others - {"__version__"}:
        public = getattr(hpo, name)
        if not (isinstance(public, type) and issubclass(public, Exception)):
            assert ">>>" in public.__doc__, name
