"""``python -m hpo`` is the command ``hpo``."""

from hpo.cli.main import entry

entry()
