"""Commands as tests give them: what is said where they work, and where they refuse."""

from hpo.cli.main import command


def ok(capsys, *argv: str) -> str:
    code = command(argv)
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def refused(capsys, *argv: str) -> str:
    """The one line of a refusal."""
    try:
        code = command(argv)
    except SystemExit as stop:  # argparse
        code = stop.code
    out, err = capsys.readouterr()
    assert code == 2, (out, err)
    assert len(err.strip().splitlines()) == 1, err
    assert "Traceback" not in err
    return err
