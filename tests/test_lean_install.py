"""What an install without extras can do, and what it says where an extra is needed."""

import subprocess
import sys

import pandas as pd

from hpo.fingerprint.hashing import fingerprint

# A module that is None in sys.modules cannot be imported, as one that is not installed.
WITHOUT_PYARROW = "import sys; sys.modules['pyarrow'] = None\n"


def without_pyarrow(code, cwd):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_PYARROW + code], capture_output=True, text=True, timeout=300, cwd=cwd
    )


def test_parquet_needs_an_extra_which_one_line_says(tmp_path):
    code = (
        "import hpo\nfrom hpo.cli.main import command\n"
        "hpo.StudyDatabase('hpo.db').close()\n"
        "assert command(['list', '--output', 't.csv']) == 0\n"
        "sys.exit(command(['list', '--output', 't.parquet']))\n"
    )
    done = without_pyarrow(code, tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "Parquet needs pyarrow: pip install 'hpo-studies[parquet]'" in line
    assert (tmp_path / "t.csv").exists()
    assert not (tmp_path / "t.parquet").exists()


def test_text_columns_have_the_same_hash_with_and_without_pyarrow(tmp_path):
    """pandas keeps text in pyarrow's memory where it can; installing it must not change a stored study."""
    made = "pd.DataFrame({'text': ['x', None, 'zé'], 'kind': pd.Categorical(['u', 'v', 'u'])}, index=list('abc'))"
    code = f"import pandas as pd\nfrom hpo.fingerprint.hashing import fingerprint\nprint(fingerprint({made}))"
    done = without_pyarrow(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == fingerprint(eval(made, {"pd": pd}))
