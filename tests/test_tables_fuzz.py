"""Corrupted tables: the result is arrays of finite numbers, or a one-line error."""

import numpy as np
import polars
import pytest
from fuzz import TARGET, draw_table

from jaxmlp.tables import Recipe, TableError, learn_recipe, load_table
from jaxmlp.tables.values import LARGEST, is_missing

EXTENDED = pytest.param(range(30, 100), marks=pytest.mark.extended)
SLOW = pytest.param(range(100, 2100), marks=pytest.mark.slow)


@pytest.mark.parametrize("seeds", [range(30), EXTENDED, SLOW], ids=len)
def test_a_corrupted_table_gives_arrays_or_one_line(tmp_path, seeds, capfd):
    used, errors = 0, {}
    for seed in seeds:
        content, suffix = draw_table(seed)
        path = tmp_path / f"table{suffix}"
        path.write_bytes(content)
        for use in (learn, apply):
            try:
                use(path)
                used += use is learn
            except TableError as error:
                errors[seed, use] = str(error)
            except BaseException as error:
                raise AssertionError(f"seed {seed}") from error
    assert not {seed: line for seed, line in errors.items() if "\n" in line or len(line) > 2000}
    assert 0.2 < used / len(seeds) < 0.8  # some tables are intact, some are useless
    assert capfd.readouterr() == ("", "")


def learn(path):
    frame = load_table(path)
    rows = np.random.default_rng(0).random(frame.height) < 0.8
    recipe = learn_recipe(frame, TARGET, rows=rows)
    x, notes = recipe.inputs(frame)
    y, has_target = recipe.targets(frame)
    assert x.shape == (frame.height, recipe.n_inputs)
    assert y.shape == (frame.height, recipe.n_outputs)
    assert np.abs(x).max() <= LARGEST
    left_out = dict(recipe.left_out)
    assert sorted([TARGET, *left_out, *(column.name for column in recipe.columns)]) == sorted(frame.columns)
    assert not [name for name in left_out if holds_other_numbers(frame[name].filter(rows & has_target))]
    assert np.isfinite(y).all()
    assert not has_target[is_missing(frame[TARGET])].any()
    assert not y[~has_target].any()
    assert len(recipe.input_names()) == recipe.n_inputs
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert recipe.decode(y).columns == recipe.output_columns()
    assert all("\n" not in line and len(line) < 2000 for line in recipe.describe() + notes)


def holds_other_numbers(column):
    """Return whether 9 of 10 values are numbers that are neither all equal nor whole, like an identifier."""
    if not (column.dtype.is_numeric() or column.dtype == polars.String):
        return False
    numbers = column.cast(float, strict=False).drop_nulls().drop_nans()
    return len(numbers) > 0.9 * len(column) and numbers.n_unique() > 1 and not (numbers == numbers.floor()).all()


def apply(path):
    """Predict as a model does: the recipe comes from an intact table with the columns that the file has."""
    frame = load_table(path)
    intact = polars.DataFrame({"number": [0.5, 1.5, 7], "city": ["Rome", "Oslo", None], "yes": [True, False, True]})
    known = [name for name in intact.columns if name in frame.columns] or ["number"]
    recipe = learn_recipe(intact.select(known).with_columns(y=polars.Series([1, 2, 3])), "y")
    x, notes = recipe.inputs(frame)
    assert np.isfinite(x).all()
    assert all("\n" not in line and len(line) < 200 for line in notes)
