"""Standard streams that are closed or full, or that cannot write every character, and commands that print to them."""

import codecs
import contextlib
import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import TextIO

# What is pasted stays whole: a command or a call at the end of a line, and a command in parentheses.
_PASTED = re.compile(r"(?<=: )(?:hpo|python|pip) .*|(?<=: )hpo\..*|\(hpo [^)]*\)")
_REPLACING = "hpo.replacing"
_PLAIN = {
    **dict.fromkeys("─━═╌╍┄┈", "-"), **dict.fromkeys("│┃║╎╏┆┊", "|"), **dict.fromkeys("┐┓╗└┗╚┘┛╝┌┏╔┤├┬┴┼╭╮╯╰", "+"),
    "±": "+-", "×": "x", "·": ".", "…": "...", "–": "-", "—": "-", "\u2800": " ",
}  # fmt: skip


def between_words(text: str, width: int) -> str:
    """Break lines that are longer than a terminal is wide between words; what is pasted stays whole, as do paths."""
    lines = []
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        whole = _PASTED.sub(lambda found: found[0].replace(" ", "\0"), line)
        broken = textwrap.fill(
            whole, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False,
            replace_whitespace=False,
        )  # fmt: skip
        lines.append(broken.replace("\0", " "))
    return "\n".join(lines)


def as_read_on(stream: TextIO, text: str) -> str:
    """Break a message between words where a person reads it; a program gets its line whole."""
    try:
        return between_words(text, shutil.get_terminal_size().columns) if stream.isatty() else text
    except ValueError:  # closed
        return text


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that an encoding lacks: lines stay lines, and all else is a question mark."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    plain = "".join(_PLAIN.get(sign, "*" if "\u2801" <= sign <= "\u28ff" else "?") for sign in lacking)  # Braille: dots
    return plain, error.end


codecs.register_error(_REPLACING, _plain)


@contextlib.contextmanager
def usable_streams() -> Iterator[None]:
    """Let a command print to streams that are closed, or become so, without complaint.

    Characters that the output's encoding lacks (as in cp1252, latin-1 or ASCII) are replaced.
    """
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_REPLACING)
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            discard_output()
        except OSError as error:  # as on a full disk: what is still buffered cannot be written
            say_unwritable(error)
            raise SystemExit(1) from error


@contextlib.contextmanager
def stdout_for_json(is_json: bool) -> Iterator[None]:
    """Where JSON is asked for, what studies print meanwhile goes to stderr, also from C and from their children."""
    if not is_json:
        yield
        return
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def discard_output() -> None:
    """Let what is still buffered go nowhere, as Python's last flush must not fail once the reader went away."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)
    os.close(nowhere)


def say_unwritable(error: OSError) -> None:
    """Say on stderr, where that can be, that the output cannot be written, and discard what is left of it."""
    with contextlib.suppress(OSError):
        print(f"hpo: the output cannot be written: {error.strerror or error}", file=sys.stderr, flush=True)
    discard_output()


def _open_closed() -> None:
    """Open closed streams on nothing, lest the next file opened gets their number and what is printed below Python."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: those below are open by now
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
