"""``python -m hpo`` is the command ``hpo``."""

from hpo.cli import entry

entry()
