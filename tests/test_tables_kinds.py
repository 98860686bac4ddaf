"""Which kind a column is: identifiers, yes and no, missing values, large whole numbers, and the target."""

import numpy as np
import polars
import pytest

from jaxmlp.tables import Recipe, TableError, learn_recipe

pytestmark = pytest.mark.portable
N = 200
RNG = np.random.default_rng(0)
X = RNG.normal(size=N).round(3)
IDS = np.random.default_rng(3).permutation(900_000)[:N] + 100_000


def table(**columns):
    return polars.DataFrame({"x": X} | columns | {"y": 2 * X + 1}, strict=False)


def kinds(frame, **options):
    return {column.name: column.kind for column in learn_recipe(frame, "y", **options).columns}


@pytest.mark.parametrize("name", ["customer no", "id", "area", "serial"])
@pytest.mark.parametrize(
    "values",
    [IDS, IDS.astype(str), IDS * 10**10, (IDS * 10**13).astype(str), [f"N{k}" for k in IDS], [f"0{k}" for k in IDS]],
    ids=["numbers", "text", "large", "large text", "names", "zeros"],
)
def test_an_identifier_is_left_out_whatever_its_name_and_kept_on_demand(name, values):
    frame = table(**{name: values})
    recipe = learn_recipe(frame, "y")
    assert [column.name for column in recipe.columns] == ["x"]
    assert dict(recipe.left_out)[name].endswith("like an identifier")
    assert recipe.remarks[-1].startswith("To use a column that is left out: --keep ")
    assert name in kinds(frame, keep=[name])


def test_whole_numbers_that_predict_are_no_identifier_whatever_their_name():
    area = (1000 + 100 * X + RNG.normal(size=N) * 50).round().astype(int) * N + np.arange(N)
    assert kinds(table(id=area, names=[f"a{k:07}" for k in area])) == {"x": "number", "id": "number", "names": "levels"}
    classes = table(id=area).with_columns(y=polars.Series(np.where(X > 0, "high", "low")))
    assert "id" in kinds(classes)


def test_numbers_as_people_write_them_are_never_an_identifier():
    for written in ([f"€{k:,.2f}" for k in IDS], [f"{10 * k:,}" for k in IDS], [f"{k} kg" for k in IDS]):
        assert kinds(table(price=written)) == {"x": "number", "price": "number"}
    assert kinds(table(price=IDS + 0.5)) == {"x": "number", "price": "number"}


def test_identifiers_are_found_among_numbers_with_decimal_commas():
    prices = [f"{x:.3f}0".replace(".", ",") for x in X]
    assert kinds(table(id=IDS.astype(str), price=prices)) == {"x": "number", "price": "number"}


def test_most_values_of_a_column_of_levels_are_numbers_which_is_told():
    values = ["many" if k % 7 == 0 else f"{x:.1f}".replace(".", ",") for k, x in enumerate(X)]
    recipe = learn_recipe(table(a=values), "y")
    assert recipe.columns[1].kind == "levels"
    assert recipe.remarks == (
        "'a': 171 of 200 values are numbers, but used as levels, because the others are text such as 'many'; if that "
        "means a missing value: --missing many",
    )
    assert kinds(table(a=values), missing="many")["a"] == "number"


def test_large_whole_numbers_that_repeat_are_exact_levels():
    for start in (2**53 + 1, 2**60):  # equal in float64
        big = [start + k % 4 for k in range(N)]
        for values in (big, list(map(str, big))):
            recipe = learn_recipe(table(account=values), "y")
            assert recipe.columns[1].levels == tuple(str(start + k) for k in range(4))
            assert recipe.inputs(table(account=values))[0][:, 1:].sum() == N


def test_digits_with_leading_zeros_are_text():
    zips = [f"0{1234 + k % 5}" for k in range(N)]
    (_, column) = learn_recipe(table(zip=zips), "y").columns
    assert column.levels == tuple(f"0{1234 + k}" for k in range(5))


@pytest.mark.parametrize(
    "words",
    [("no", "yes"), ("No", "YES"), ("n", "y"), ("N", "Y"), ("nein", "ja"), ("FALSE", "True"), ("f", "t"), ("off", "on"),
     ("0", "1"), (0, 1), (0.0, 1.0), (False, True), ("non", "oui")],
)  # fmt: skip
def test_yes_and_no_in_any_spelling_are_booleans(words):
    values = [words[int(value > 0)] for value in X]
    recipe = learn_recipe(table(member=values), "y")
    assert [column.kind for column in recipe.columns] == ["number", "boolean"]
    assert recipe.input_names()[1:] == ["member is false", "member is true"]
    expected = np.stack([X <= 0, X > 0], axis=1)
    for other in (values, [["NO", "Yes"][int(value > 0)] for value in X], (X > 0).astype(int), X > 0):
        np.testing.assert_array_equal(recipe.inputs(table(member=other))[0][:, 1:], expected)
    _, notes = recipe.inputs(table(member=["perhaps", None, "-", 2] + ["yes"] * (N - 4)))
    assert notes == [
        "member: 2 unknown values, none in training; encoded as zeros",
        "member: 2 missing values, none in training; encoded as zeros",
    ]


def test_words_that_are_not_only_yes_and_no_are_levels():
    for words in (["yes", "no", "perhaps"], ["y", "z"], ["on", "no"]):
        assert kinds(table(a=[words[k % len(words)] for k in range(N)]))["a"] == "levels"


def test_placeholders_are_missing_among_numbers_and_none_is_a_level_among_words():
    placeholders = ["-", "--", ".", "none", "NA", "n/a", "#DIV/0!", ""]
    numbers = [placeholders[k % 16] if k % 16 < 8 else str(x) for k, x in enumerate(X)]
    recipe = learn_recipe(table(a=numbers), "y")
    assert (recipe.columns[1].kind, recipe.columns[1].missing) == ("number", 104)
    words = learn_recipe(table(a=[["none", "low", "-", "high"][k % 4] for k in range(N)]), "y")
    assert words.columns[1].levels == ("high", "low", "none", None)
    signs = learn_recipe(table(a=[["+", "-"][k % 2] for k in range(N)]), "y")
    assert signs.columns[1].levels == ("+", "-")


def test_the_user_names_more_missing_values_which_the_recipe_keeps():
    texts = ["lost" if k % 2 else str(x) for k, x in enumerate(X)]
    frame = table(a=texts, b=[-999 if k % 4 else k % 10 for k in range(N)])
    recipe = learn_recipe(frame, "y", missing=["lost", "-999"])
    assert [column.missing for column in recipe.columns[1:]] == [N // 2, 3 * N // 4]
    assert Recipe.from_json(recipe.to_json()).missing == ("lost", "-999")
    assert "Missing values, as given: lost, -999" in recipe.describe()
    x, _ = recipe.inputs(polars.DataFrame({"x": [1.0], "a": ["lost"], "b": ["-999"]}))
    np.testing.assert_allclose(x[0, [2, 4]], [1, 1])


def test_a_number_far_from_all_others_is_told_and_not_changed():
    values = np.where(np.arange(N) % 20 == 0, -999.0, X)
    recipe = learn_recipe(table(a=values), "y")
    (remark,) = recipe.remarks
    assert remark.startswith("'a': -999 in 10 rows, far from the others (")
    assert remark.endswith("; if it means a missing value: --missing=-999")
    assert recipe.inputs(table(a=values))[0][:, 1].min() == -999
    assert learn_recipe(table(a=X), "y").remarks == ()


@pytest.mark.parametrize(
    ("words", "classes"),
    [
        ((0, 1), (0, 1)), (("0", "1"), (0, 1)), (("0.0", "1.0"), (0.0, 1.0)), ((1, 2), (1, 2)),
        ((0.5, 2.5), (0.5, 2.5)),
        (("No", "Yes"), ("No", "Yes")), (("nein", "ja"), ("ja", "nein")), (("N", "Y"), ("N", "Y")),
        (("false", "true"), (False, True)), (("FALSE", "TRUE"), ("FALSE", "TRUE")), (("low", "high"), ("high", "low")),
        (("01", "02"), ("01", "02")), (("$5", "$10"), ("$10", "$5")), (("-", "+"), ("+", "-")),
    ],
)  # fmt: skip
def test_two_values_are_classes_whose_labels_are_those_of_the_table(words, classes):
    values = [words[int(value > 0)] for value in X]
    recipe = learn_recipe(table().with_columns(y=polars.Series(values)), "y")
    assert (recipe.task, recipe.classes) == ("classification", classes)
    y, has_target = recipe.targets(table().with_columns(y=polars.Series(values)))
    assert has_target.all()
    assert recipe.decode(y)["prediction"].cast(str).to_list() == polars.Series(values).cast(str).to_list()


def test_a_target_of_two_numbers_is_told_and_can_be_a_regression():
    frame = table().with_columns(y=(polars.col("x") > 0).cast(int))
    assert learn_recipe(frame, "y").remarks == (
        "'y' has two values, so it is classified; to predict a number: --task regression",
    )
    assert learn_recipe(frame, "y", task="regression").task == "regression"


def test_the_target_is_read_as_it_is_written():
    values = [f"{1000 * x:,.2f} €".translate(str.maketrans(",.", ".,")) for x in X]
    recipe = learn_recipe(table().with_columns(y=polars.Series(values)), "y")
    np.testing.assert_allclose(recipe.targets(table().with_columns(y=polars.Series(values)))[0][:, 0], 1000 * X)
    assert recipe.describe()[1] == "y, the target: decimal comma, unit '€'"
    assert recipe.digits == 2  # The standard deviation is just below 1000.


def test_what_decides_about_columns_must_be_known():
    with pytest.raises(ValueError, match=r"decimal must be one of \., ,, or None; got ';'"):
        learn_recipe(table(), "y", decimal=";")
    with pytest.raises(ValueError, match="date_order must be one of ymd, dmy, mdy, or None; got 'dym'"):
        learn_recipe(table(), "y", date_order="dym")
    with pytest.raises(TableError, match="no column 'z'"):
        learn_recipe(table(), "y", keep="z")


def test_a_name_that_polars_takes_for_a_pattern_is_one_line():
    frame = table(**{"^a.*$": X, "*": ["u", "v"] * (N // 2)})
    with pytest.raises(TableError, match=r"polars takes this name for a pattern; rename the column"):
        learn_recipe(frame, "y")
    assert learn_recipe(frame, "y", drop=["^a.*$"]).n_inputs == 3


def test_an_outlier_does_not_decide_the_scale_of_its_column():
    income = np.random.default_rng(0).lognormal(10, 1.5, size=N)
    spoilt = np.where(np.arange(N) == 7, 1e15, income)
    recipe = learn_recipe(table(income=spoilt), "y")
    others = np.delete(income, 7)
    column = recipe.columns[1]
    assert (column.missing, column.low, column.high) == (1, others.min(), others.max())
    (remark,) = recipe.remarks
    assert remark == (
        "'income': 1 value far from all others, the first 1e+15 in row 8, counted as missing; to use them as they are: "
        "--keep income"
    )
    x, _ = recipe.inputs(table(income=spoilt))
    np.testing.assert_array_equal(x[:, 1], np.where(np.arange(N) == 7, column.fill, income))
    np.testing.assert_array_equal(x[:, 2], np.arange(N) == 7)
    assert Recipe.from_json(recipe.to_json()) == recipe
    for values in (income, X, np.arange(N) % 7, np.where(X > 1, 1e6, 0) + X, np.where(X > 1, 50.0, 0)):
        assert learn_recipe(table(a=values), "y").columns[1].bounds is None
    kept = learn_recipe(table(income=spoilt), "y", keep=["income"])
    assert kept.columns[1].bounds is None
