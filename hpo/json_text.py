"""Values as the database stores them, JSON: made storable on the way in, readable on the way out."""

import json
import re
from typing import Any

# What no database, terminal or file can hold: halves of surrogate pairs, and NUL.
_UNSTORABLE = re.compile("[\ud800-\udfff\x00]")
_SIGNS = ("\\ud", "\\uD", "\\u0000")  # of them in JSON
_ESCAPE = "\\u"  # with which all of them begin: most texts have none, and are asked once


def storable(text: str) -> str:
    """A text whose lone surrogates and NULs are written out, as in ``caf\\udce9``."""
    return _UNSTORABLE.sub(lambda found: _written_out(found[0]), text)


def to_json(value: Any) -> str:
    """A value as it is stored.

    >>> to_json({"error": "cannot open " + b"caf\\xe9".decode("utf-8", "surrogateescape")})
    '{"error": "cannot open caf\\\\\\\\udce9"}'
    """
    text = json.dumps(value)
    return json.dumps(_cleaned(value)) if _is_suspect(text) else text


def from_json(text: Any) -> Any:
    """A stored value; None where something else wrote what is no JSON."""
    try:
        value = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    return _cleaned(value) if _is_suspect(text) else value


def readable(raw: bytes) -> str:
    """A stored text, whatever it holds: SQLite does not see to it that texts are UTF-8, or JSON clean."""
    text = raw.decode("utf-8", "backslashreplace")
    if _ESCAPE not in text or not _is_suspect(text):  # millions of texts come this way: most need no second call
        return text
    try:
        return to_json(json.loads(text))
    except (ValueError, RecursionError):
        return text


def _is_suspect(text: str) -> bool:
    """Whether a JSON text may hold what is not storable."""
    return _ESCAPE in text and any(sign in text for sign in _SIGNS)


def _written_out(character: str) -> str:
    return "\\x00" if character == "\x00" else character.encode("ascii", "backslashreplace").decode()


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    return [_cleaned(item) for item in value] if isinstance(value, (list, tuple)) else value
