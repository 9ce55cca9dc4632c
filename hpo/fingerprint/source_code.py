"""What a function says, the same however it is laid out and whichever Python reads it, and what it refers to."""

import ast
import contextlib
import dis
import functools
import importlib
import importlib.util
import linecache
import sys
import types
from collections.abc import Iterator
from typing import Any


class _PlainStrings(ast.NodeTransformer):
    """f-strings as calls: Pythons differ in the quotes with which they write them out again."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        self.generic_visit(node)
        parts: list[ast.expr] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                how = part.format_spec or ast.Constant(None)
                parts.append(ast.Tuple([part.value, ast.Constant(part.conversion), how], ast.Load()))
            else:
                parts.append(part)
        return ast.Call(ast.Name("f_string", ast.Load()), parts, [])


def normalised(source: str, *, plain_strings: bool) -> str:
    """Return source without comments, docstrings and layout.

    Args:
        source: of a module.
        plain_strings: whether f-strings are written as every Python writes them.
    """
    return _text(_parsed(source), plain_strings=plain_strings)


def function_source(function: types.FunctionType, *, plain_strings: bool) -> str:
    """Return the normalised source of a function or lambda; empty where there is none (exec, a bare prompt).

    A lambda is looked up in the whole file, because the lines around it seldom parse alone; lambdas that
    begin on one line cannot be told apart and count together.
    """
    code = function.__code__
    linecache.checkcache(code.co_filename)  # a script may have been edited and loaded again
    try:
        tree = _parsed("".join(linecache.getlines(code.co_filename)))
    except SyntaxError:
        return ""
    wanted = (ast.Lambda,) if code.co_name == "<lambda>" else (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [
        _text(node, plain_strings=plain_strings)
        for node in ast.walk(tree)
        if isinstance(node, wanted)
        and getattr(node, "name", code.co_name) == code.co_name
        and code.co_firstlineno in {node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))}
    ]
    return "\n".join(found)


@functools.lru_cache(maxsize=64)
def _parsed(source: str) -> ast.Module:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        _drop_docstring(node)
    return tree


def _text(node: ast.AST, *, plain_strings: bool) -> str:
    if plain_strings and any(isinstance(inner, ast.JoinedStr) for inner in ast.walk(node)):
        node = _PlainStrings().visit(ast.parse(ast.unparse(node)))  # of a copy: the tree is kept for others
    return ast.unparse(node)


def _drop_docstring(node: ast.AST) -> None:
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)):
        return
    if ast.get_docstring(node, clean=False) is not None:
        node.body = node.body[1:] or [ast.Pass()]


def names_read(function: types.FunctionType) -> dict[str, Any]:
    """Return the global and closed-over names that a function, or anything defined inside it, reads -> their values."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    found = {}
    for name, cell in cells:
        with contextlib.suppress(ValueError):  # a cell that is not filled yet
            found[name] = cell.cell_contents
    for code in _codes(function.__code__):
        for instruction in dis.get_instructions(code):
            if instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME"} and instruction.argval in function.__globals__:
                found[instruction.argval] = function.__globals__[instruction.argval]
    return found


def names_imported(function: types.FunctionType) -> dict[str, tuple[str, ...]]:
    """Return the modules that a function imports when it runs -> the names that it takes from them.

    Relative names are made absolute. Nothing is imported here.
    """
    found: dict[str, set[str]] = {}
    package = function.__globals__.get("__package__") or ""
    for code in _codes(function.__code__):
        constants: list[Any] = []  # the last two are the level and the names of an import statement
        for instruction in dis.get_instructions(code):
            if instruction.opname in {"LOAD_CONST", "LOAD_SMALL_INT"}:
                constants.append(instruction.argval)
            elif instruction.opname == "IMPORT_NAME" and len(constants) > 1:
                level, names = constants[-2:]
                dotted = "." * level + str(instruction.argval) if isinstance(level, int) else str(instruction.argval)
                with contextlib.suppress(ImportError, ValueError):  # a script has no package to be relative to
                    module = importlib.util.resolve_name(dotted, package)
                    found.setdefault(module, set()).update(names or ())
    return {module: tuple(sorted(names)) for module, names in sorted(found.items())}


def imported(name: str) -> types.ModuleType | None:
    """Return a module that a function imports when it runs, imported now; None where it cannot be."""
    with contextlib.suppress(Exception):  # whatever it raises, the function will raise it when it runs
        return sys.modules.get(name) or importlib.import_module(name)
    return None


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield a code object and all that are nested in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)
