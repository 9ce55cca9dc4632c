"""Passwords in the URLs of databases, which are never printed."""

import re
import shlex
from collections.abc import Sequence

_USER = re.compile(r"(://[^\s:/@'\"]*:)[^\s'\"]*@")  # to the last @: a password may hold one
_QUERY = re.compile(r"([?&][^=&\s'\"]*(?:pass|pwd|secret|token|credential)[^=&\s'\"]*=)[^&\s'\"]+", re.IGNORECASE)


def hide_passwords(text: str) -> str:
    """A text whose URLs have ``***`` for passwords, also for those among the options behind ``?``.

    >>> hide_passwords("postgresql://me:secret@host/db?sslpassword=other&connect_timeout=3 is away")
    'postgresql://me:***@host/db?sslpassword=***&connect_timeout=3 is away'
    """
    return _QUERY.sub(r"\1***", _USER.sub(r"\1***@", text))


def has_password(text: str) -> bool:
    """Whether anything in a text is to be hidden."""
    return hide_passwords(text) != text or "***" in text


def command_again(words: Sequence[str]) -> str:
    """A command line to repeat, which leaves an URL with a password to the environment.

    >>> command_again(["hpo", "run", "power", "--database", "postgresql://me:secret@host/db"])
    "hpo run power (with the database's URL in HPO_DATABASE)"
    """
    kept: list[str] = []
    for word in words:
        if not has_password(word):
            kept.append(word)
        elif not word.startswith("-") and kept and kept[-1].startswith("--"):
            kept.pop()  # the option that it is the value of
    return shlex.join(kept) + ("" if len(kept) == len(words) else " (with the database's URL in HPO_DATABASE)")
