"""Sessions for whoever works on hpo: ``nox -s tests``, ``nox -s style``, ``nox -s benchmarks -- growth``.

``.ci/run`` calls the sessions of the tests.
"""

import nox

nox.options.sessions = ["style", "tests"]
# torch as a pinned release: a range would bring several gigabytes of GPU packages.
TORCH = ("torch==2.13.0", "skorch>=1.4")


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests, or those that are named: ``nox -s tests -- tests/samplers/test_grid.py``."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "-n", "2", "--dist", "worksteal", *session.posargs)


@nox.session(name="tests-torch")
def tests_torch(session: nox.Session) -> None:
    """Run all tests with PyTorch present."""
    session.install(*TORCH)
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "-n", "2", "--dist", "worksteal", *session.posargs)


@nox.session
def style(session: nox.Session) -> None:
    """Run what looks at the code without running it: style, types, floors."""
    session.install("-e", ".[test]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Run one benchmark: ``nox -s benchmarks -- overhead``."""
    session.install("-e", ".[test,benchmarks]")
    name, *options = session.posargs or ("overhead",)
    session.run("python", "-m", f"benchmarks.{name}", *options)
