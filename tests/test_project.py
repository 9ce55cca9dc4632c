"""The project keeps its own house: style, types, floors, documentation."""

import ast
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import hpo
from hpo.cli.arguments import build_parser
from hpo.cli.main import COMMANDS, command
from hpo.samplers.table import SAMPLERS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = sorted(path for path in (ROOT / "hpo").rglob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["importlinter.cli", "lint"],
    ],
    ids=lambda command: "-".join(command),
)
def test_the_house_is_in_order(command):
    module = [sys.executable, "-m", *command]
    if command[0] == "importlinter.cli":
        module = [
            sys.executable,
            "-c",
            "import sys; from importlinter.cli import lint_imports_command as c; sys.exit(c())",
        ]
    done = subprocess.run(module, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_module_says_what_it_is_for_and_is_one_thing(path):
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert sum(not line.lstrip().startswith((">>>", "...")) for line in text.splitlines()) <= 500  # beside examples


def test_every_public_name_exists_is_documented_and_hides_no_room():
    rooms = {path.name.removesuffix(".py") for path in (ROOT / "hpo").iterdir() if not path.name.startswith("__")}
    assert len(rooms) <= 20
    for name in hpo.__all__:
        if name != "__version__":
            assert getattr(hpo, name).__doc__, name
        assert name not in rooms


def test_every_command_has_help_and_is_in_the_readme():
    actions = next(
        action for action in build_parser(COMMANDS)._actions if hasattr(action, "choices") and action.choices
    )
    assert set(actions.choices) >= {"studies", "run", "compare", "list", "show", "delete", "dashboard", "samplers"}
    for name, parser in actions.choices.items():
        assert parser.description
        assert f"hpo {name}" in README, name
        for action in parser._actions:
            assert action.help or action.dest == "progress", (name, action)


# Private names of other libraries that are also private names of ours.
OF_OTHERS = {
    "_exit": "of os",
    "_sign": "of scikit-learn's scorers",
    "_storage": "of Optuna's studies",
    "_study_id": "of Optuna's studies",
    "_trial_id": "of Optuna's trials",
}


def is_private(name: str) -> bool:
    """Whether it begins with one underscore; ``_repr_html_`` and its like are protocols of others."""
    return name.startswith("_") and not name.startswith("__") and name != "_" and not name.endswith("_")


def private_names_of_ours() -> set[str]:
    found = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.id if isinstance(node, ast.Name) else node.attr)
    return {name for name in found if is_private(name)} - set(OF_OTHERS)


def called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def private_names_used(text: str, ours: set[str]) -> list[str]:
    """Private names of ours that a test imports, reads of an object, or replaces by its dotted name."""
    found = []
    for node in ast.walk(ast.parse(text)):
        dotted, attribute = "", ""
        if isinstance(node, ast.ImportFrom):
            found += [a.name for a in node.names if (node.module or "").startswith("hpo") and is_private(a.name)]
        elif isinstance(node, ast.Constant) and re.fullmatch(r"hpo(\.\w+)+", str(node.value)):
            dotted = str(node.value)
        elif isinstance(node, ast.Call) and called(node).endswith(("setattr", "getattr")):
            attribute = next((str(a.value) for a in node.args[1:2] if isinstance(a, ast.Constant)), "")
        elif isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            attribute = node.attr
        found += [part for part in dotted.split(".") if is_private(part)] + [attribute] * (attribute in ours)
    return found


def test_no_test_uses_a_private_name_of_ours():
    ours = private_names_of_ours()
    assert len(ours) > 100
    seen = "from hpo.a import _b\nc._guarded\nmonkeypatch.setattr('hpo.d._e', 1)\nmonkeypatch.setattr(d, '_guarded', 1)"
    assert sorted(private_names_used(seen, {"_guarded"})) == ["_b", "_e", "_guarded", "_guarded"]
    for path in sorted((ROOT / "tests").rglob("*.py")):
        assert private_names_used(path.read_text(encoding="utf-8"), ours) == [], path


def test_every_sampler_is_in_the_readme():
    for name in SAMPLERS:
        assert f"`{name}`" in README


@pytest.mark.slow
def test_the_python_in_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_DATABASE", raising=False)
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(blocks) >= 2
    for i, block in enumerate(blocks):
        path = tmp_path / f"readme_{i}.py"
        path.write_text(re.sub(r"trials=(\d+)", lambda found: f"trials={int(found[1]) // 5}", block))  # fewer
        if "dask_jobqueue" in block:  # needs a SLURM cluster; test_workers runs on a cluster of other processes
            compile(block, str(path), "exec")
            continue
        done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=300, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def typed(line: str, capsys) -> tuple[int, str, str]:
    """What a command of hpo returns, prints and complains of; in this process, as starting one takes seconds."""
    code = command(shlex.split(line)[1:])
    return code, *capsys.readouterr()


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_DATABASE", raising=False)


@pytest.mark.slow
def test_the_commands_of_the_tour_run(empty_folder, capsys):
    tour = README.partition("## Five minutes")[2].partition("\n## ")[0]
    lines = [
        line.removeprefix("$ ")
        for line in "".join(re.findall(r"```console\n(.*?)```", tour, re.S)).splitlines()
        if line.startswith("$ hpo ") and "dashboard" not in line
    ]  # fmt: skip
    assert len(lines) >= 4
    for line in lines:
        code, _, errors = typed(re.sub(r"--trials (\d+)", lambda n: f"--trials {int(n[1]) // 10}", line), capsys)
        assert code == 0, (line, errors)


@pytest.mark.slow
def test_the_table_of_ideas_can_be_followed_from_an_empty_folder(empty_folder, capsys):
    table = README.partition("What each idea of tuning looks like")[2].partition("\n\n|")[2].partition("\n\n")[0]
    lines = re.findall(r"`(hpo [^`]+)`", table)
    assert len(lines) >= 10
    followed = []
    for line in lines:
        if "digits" in line and ("dropout" in line or "--curve" in line):  # needs PyTorch, or minutes
            continue
        code, out, errors = typed(line.replace("--quick", "--repetitions 1 --trials 2 --no-test"), capsys)
        if code == 2:  # the message ends with the command that makes the run
            offered = re.search(r": (hpo (?:run|try) .*)$", errors.strip())
            assert offered, (line, errors)
            made, _, errors = typed(f"{offered[1]} --trials 4", capsys)
            assert made == 0, (offered[1], errors)
            code, out, errors = typed(line, capsys)
        assert code == 0, (line, errors)
        assert len(out.splitlines()) >= 4, (line, out)
        followed.append(line)
    assert len(followed) >= 8


def test_curves_in_the_readme_are_of_hyperparameters():
    shown = re.findall(r"hpo show ([\w-]+)/\S+ --curve (\w+)", README)
    assert len(shown) >= 5
    for study, name in shown:
        assert f'"{name}"' in (ROOT / "studies" / f"{study.replace('-', '_')}.py").read_text(encoding="utf-8")


def test_the_version_is_in_the_changelog():
    assert f"## {hpo.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.py")), ids=lambda path: path.stem)
def test_each_study_is_short_and_says_what_to_look_for(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") < 100
    assert "what to look for" in ast.get_docstring(ast.parse(text)).lower()
    assert hpo.find_study(path.stem).name == path.stem.replace("_", "-")
    importlib.invalidate_caches()
