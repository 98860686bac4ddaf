"""Whatever stands in a file: arrays of finite numbers, or one line that says why not."""

import numpy as np
import polars
import pytest
from fuzz import TARGET, mutated_table

from jaxmlp.tables import Recipe, TableError, learn_recipe, load_table, split_table

SEEDS = [range(100), pytest.param(range(100, 2100), marks=pytest.mark.slow)]


@pytest.mark.parametrize("seeds", SEEDS, ids=len)
def test_a_mutated_table_gives_arrays_or_one_line(tmp_path, seeds, capfd):
    used, refused = 0, {}
    for seed in seeds:
        content, suffix = mutated_table(seed)
        path = tmp_path / f"table{suffix}"
        path.write_bytes(content)
        for use in (learnt_on, applied_to):
            try:
                use(path)
                used += use is learnt_on
            except TableError as error:
                refused[seed, use] = str(error)
            except BaseException as error:
                raise AssertionError(f"seed {seed}") from error
    assert not {seed: line for seed, line in refused.items() if "\n" in line or len(line) > 2000}
    assert 0.2 < used / len(seeds) < 0.8  # the tables are neither all sound nor all useless
    assert capfd.readouterr() == ("", "")


def learnt_on(path):
    frame = load_table(path)
    rows = split_table(frame, TARGET)
    recipe = learn_recipe(frame, TARGET, rows=rows[0])
    x, notes = recipe.inputs(frame)
    y, keep = recipe.targets(frame)
    assert x.shape == (frame.height, recipe.n_inputs)
    assert y.shape == (frame.height, recipe.n_outputs)
    assert np.isfinite(x).all()
    assert np.isfinite(y).all()
    np.testing.assert_array_equal(np.any(rows, axis=0), keep)
    assert np.abs(x[rows[0]]).max() <= np.sqrt(rows[0].sum())  # no value lies further from its mean
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert recipe.decode(y).columns == recipe.output_columns()
    assert all("\n" not in line and len(line) < 2000 for line in recipe.describe() + notes)


def applied_to(path):
    """As when a model predicts: the recipe comes from a sound table with such of the columns as are there."""
    frame = load_table(path)
    sound = polars.DataFrame({"number": [0.5, 1.5, 7], "city": ["Rome", "Oslo", None], "yes": [True, False, True]})
    known = [name for name in sound.columns if name in frame.columns] or ["number"]
    recipe = learn_recipe(sound.select(known).with_columns(y=polars.Series([1, 2, 3])), "y")
    x, notes = recipe.inputs(frame)
    assert np.isfinite(x).all()
    assert all("\n" not in line and len(line) < 200 for line in notes)
