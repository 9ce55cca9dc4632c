"""Tables as they come: classes called None, keys, copies, leaks, dates, amounts; each script is written, and runs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hpo
from hpo.cli.main import command
from hpo.study.from_csv.amounts import Amounts, as_numbers, find_amounts
from hpo.study.from_csv.dates import date_format
from hpo.study.from_csv.read import read_table

N = 90
RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_DATABASE", raising=False)
    return tmp_path


def table(**columns) -> pd.DataFrame:
    """Two columns of numbers, the target ``y`` that they decide in part, and others in front."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=N).round(3), rng.normal(size=N).round(3)
    y = np.where(a + b + rng.normal(size=N) > 0, "yes", "no")
    return pd.DataFrame({"a": a, "b": b, "y": y}).assign(**columns)


def written(frame: pd.DataFrame, capsys, target: str = "y", *more: str) -> tuple[hpo.StudyDefinition, str, str]:
    """The study that the command writes for a table, once it ran; what the command says, and the script."""
    frame.to_csv("table.csv", index=False)
    assert command(["new", "mine", "--csv", "table.csv", "--target", target, "--to", "mine.py", *more]) == 0
    said = capsys.readouterr().out
    assert command(["run", "mine.py", "--sampler", "random", "--trials", "2", "--progress", "none"]) == 0
    capsys.readouterr()
    return hpo.find_study("mine.py"), said, Path("mine.py").read_text(encoding="utf-8")


# --- classes that look like nothing ---


@pytest.mark.parametrize(
    "classes", [("None", "Mild", "Severe"), ("NA", "EU", "AS"), ("NaN", "x", "n/a"), ("null", "None")]
)
def test_a_class_may_be_called_none(folder, capsys, classes):
    table(y=np.resize(classes, N)).to_csv("table.csv", index=False)
    assert command(["new", "mine", "--csv", "table.csv", "--target", "y"]) == 0
    said, y = capsys.readouterr().out, hpo.find_study("mine").load().y
    assert y.value_counts().to_dict() == dict.fromkeys(classes, N // len(classes))
    assert f"{len(classes)} classes ({N} rows)" in said
    assert f"'{classes[0]}' ({N // len(classes)} rows)" in said
    assert "dropped" not in said


def test_what_is_empty_beside_such_a_class_is_dropped_and_said(folder, capsys):
    """Numbers keep their missing values, also where these are written as the class is."""
    frame = table(y=np.resize(["NA", "EU", "AS"], N)).astype({"a": object, "b": object})
    frame.loc[:3, "y"] = None
    frame.loc[::5, "a"] = "NA"
    frame.loc[::7, "b"] = None
    study, said, script = written(frame, capsys)
    data = study.load()
    assert "dropped: 4 rows without a target (y is empty in 4)" in said
    assert "4 rows have no target" in script
    assert len(data.y) == N - 4
    assert data.X.dtypes.map(lambda kind: kind.kind).tolist() == ["f", "f"]
    assert data.X["a"].isna().sum() == frame["a"].iloc[4:].eq("NA").sum()
    assert data.X["b"].isna().sum() == frame["b"].iloc[4:].isna().sum()


def test_numbers_without_a_value_are_no_class(folder, capsys):
    y = pd.Series(RNG.normal(size=N).round(3)).astype(object)
    y[::10] = "n/a"
    y[5] = None
    study, said, _ = written(table(y=y), capsys)
    assert len(study.load().y) == N - 10
    assert "dropped: 10 rows without a target (y is 'n/a' in 9, empty in 1)" in said


# --- keys ---


def test_a_target_that_numbers_the_rows_is_refused(folder, capsys):
    for values in (np.arange(N), np.arange(N) + 1000, np.delete(np.arange(N + 5), [3, 9, 27, 50, 70])):
        table(y=values).to_csv("table.csv", index=False)
        assert command(["new", "mine", "--csv", "table.csv", "--target", "y"]) == 2
        assert "numbers the rows" in capsys.readouterr().err
    amounts = (np.arange(N) ** 2)[::-1]
    written(table(y=amounts), capsys)  # whole numbers that are an amount


def test_rows_without_a_target_leave_no_gap_in_a_key(folder, capsys):
    frame = table(entry=np.arange(N)[::-1] + 500)
    frame.loc[::4, "y"] = None
    _, said, _ = written(frame, capsys)
    assert "entry (numbers the rows)" in said


def test_repeated_ids_suggest_groups_and_the_script_says_how(folder, capsys):
    study, said, script = written(table(patient_id=np.arange(N) % 30 + 7000), capsys)
    assert list(study.load().X) == ["a", "b"]
    assert "patient_id repeats" in said
    assert 'hpo.Data(X, y, groups=table["patient_id"])' in script.replace("\n# ", " ")
    grouped = script.replace(
        "return table[NUMERIC], table[TARGET]",
        'return hpo.Data(table[NUMERIC], table[TARGET], groups=table["patient_id"])',
    ).replace("folds=5,", 'folds=5, order="group",')
    Path("grouped.py").write_text(grouped, encoding="utf-8")
    assert command(["run", "grouped.py", "--sampler", "random", "--trials", "2", "--new-version"]) == 0


# --- columns that tell too much ---


@pytest.mark.parametrize("is_number", [True, False])
def test_a_copy_of_the_target_is_said_and_kept(folder, capsys, is_number):
    frame = table()
    copy = frame["y"].map({"yes": 1, "no": 0} if is_number else {"yes": "Y", "no": "N"})
    study, said, script = written(frame.assign(outcome=copy), capsys)
    assert "outcome is a copy of the target" in said
    assert '"outcome" is a copy of the target' in script
    assert "outcome" in study.load().X


def test_a_column_that_tells_the_target_alone_is_said(folder, capsys):
    amount = np.random.default_rng(0).normal(size=N).round(4)
    _, said, _ = written(table(y=amount, fahrenheit=(amount * 1.8 + 32).round(3)), capsys)
    assert "fahrenheit predicts the target alone" in said or "fahrenheit is a copy" in said


def test_a_number_that_parts_the_classes_is_said(folder, capsys):
    frame = table()
    paid = np.where(frame["y"] == "yes", RNG.uniform(5, 9, N), RNG.uniform(0, 4, N)).round(2)
    _, said, _ = written(frame.assign(paid=paid), capsys)
    assert "paid predicts the target alone" in said
    assert "look twice: a " not in said


def test_good_columns_are_not_suspected():
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

    from hpo.study.from_csv.columns import find_target, sort_columns
    from hpo.study.from_csv.leaks import find_leaks

    for load in (load_breast_cancer, load_diabetes, load_wine):
        frame = load(as_frame=True).frame
        target = find_target(frame, "target")
        assert find_leaks(frame, target, sort_columns(frame, target)) == {}


# --- dates ---


def test_dates_suggest_an_order_in_time_and_are_learned_from_when_kept(folder, capsys):
    days = pd.Series(pd.date_range("2019-12-20", periods=N))
    frame = table(ordered=days.dt.strftime("%d.%m.%Y"))
    study, said, script = written(frame, capsys)
    assert "ordered (dates)" in said
    assert "to predict later rows" in said
    assert 'sort the table by "ordered"' in script.replace("\n# ", " ")
    assert list(study.load().X) == ["a", "b"]
    Path("mine.py").unlink()
    frame.loc[4, "ordered"] = None
    frame.to_csv("table.csv", index=False)
    arguments = ["new", "kept", "--csv", "table.csv", "--target", "y", "--to", "kept.py", "--dates"]
    assert command(arguments) == 0
    assert command(["run", "kept.py", "--sampler", "random", "--trials", "2", "--progress", "none"]) == 0
    X = hpo.find_study("kept.py").load().X
    assert list(X) == ["a", "b", "ordered year", "ordered month", "ordered day_of_week"]
    is_known = frame["ordered"].notna()
    for part in ("year", "month", "day_of_week"):
        assert X.loc[is_known, f"ordered {part}"].tolist() == getattr(days.dt, part)[is_known].tolist()
    assert X.loc[4].isna().sum() == 3


@pytest.mark.parametrize(
    ("form", "found"),
    [
        ("%Y-%m-%d", "%Y-%m-%d"),
        ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S"),
        ("%d/%m/%Y", "%d/%m/%Y"),
        ("%m/%d/%Y", "%m/%d/%Y"),
        ("%d-%b-%y", "%d-%b-%y"),
        ("%B %d, %Y", "%B %d, %Y"),
        ("%b %Y", "%b %Y"),
        ("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M"),
    ],
)
def test_the_format_of_dates_is_told(form, found):
    days = pd.Series(pd.date_range("2019-12-20", periods=N))
    assert date_format(days.dt.strftime(form)) == found


def test_days_and_months_that_may_be_swapped_are_not_guessed():
    assert date_format(pd.Series(["01/02/2021", "03/04/2021"])) is None
    assert date_format(pd.Series(["12:30", "13:30"])) is None


# --- amounts ---


@pytest.mark.parametrize(
    ("texts", "numbers", "decimal"),
    [
        (["$1,234.50", "$7", "$-3.25"], [1234.5, 7, -3.25], "."),
        (["1.234,50 €", "7 €", "-3,25 €"], [1234.5, 7, -3.25], ","),
        (["12%", "7.5 %", "-3%"], [12, 7.5, -3], "."),
        (["1,234", "56", "1,234,567"], [1234, 56, 1234567], "."),
        (["1 234 kr", "56 kr", "1\u00a0234 kr"], [1234, 56, 1234], "."),
        (["CHF 1'234.50", "CHF 2.00", "CHF 3.00"], [1234.5, 2, 3], "."),
    ],
)
def test_amounts_are_numbers(texts, numbers, decimal):
    column = pd.Series(texts)
    found = find_amounts({"price": column})
    assert found == Amounts(("price",), decimal)
    assert as_numbers(column, found).tolist() == numbers


@pytest.mark.parametrize(
    "texts",
    [["$3", "€3"], ["3%", "0.3"], ["1,5", "2,5"], ["12-34", "56"], ["3 apples", "4"], ["1,23,456", "2"], ["a", "b"]],
)
def test_what_may_be_something_else_is_no_amount(texts):
    assert find_amounts({"x": pd.Series(texts)}).columns == ()


def test_prices_and_shares_are_learned_from(folder, capsys):
    price, share = RNG.uniform(500, 5000, N).round(2), RNG.uniform(0, 99, N).round(1)
    frame = table(price=[f"${one:,.2f}" for one in price], share=[f"{one}%" for one in share])
    frame.loc[3, "price"] = None
    study, said, script = written(frame, capsys)
    X = study.load().X
    assert X["share"].tolist() == share.tolist()
    np.testing.assert_array_equal(X["price"].to_numpy(), np.where(np.arange(N) == 3, np.nan, price))
    assert "read as numbers, without their signs and thousands marks: price, share" in said
    assert "AMOUNTS = [" in script


def test_a_price_can_be_the_target(folder, capsys):
    price = RNG.uniform(500, 5000, N).round(2)
    written_price = [f"{one:,.2f} €".translate(str.maketrans(",.", ".,")) for one in price]
    table(y=written_price).to_csv("table.csv", sep=";", index=False)
    found = read_table(Path("table.csv"), "y")
    assert found.amounts.decimal == ","
    assert command(["new", "mine", "--csv", "table.csv", "--target", "y", "--to", "mine.py"]) == 0
    assert command(["run", "mine.py", "--sampler", "random", "--trials", "2", "--progress", "none"]) == 0
    y = hpo.find_study("mine.py").load().y
    np.testing.assert_allclose(y.to_numpy(), found.frame["y"].to_numpy())


def test_names_of_months_are_categories(folder, capsys):
    study, said, _ = written(table(month=np.resize(["January", "May", "Oct"], N)), capsys)
    assert "categories: month" in said
    assert "month" in study.load().X
