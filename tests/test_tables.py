"""A table becomes arrays by a recipe."""

import numpy as np
import polars

from jaxmlp.tables import Recipe, learn_recipe, load_table, split_table


def test_numbers_there_and_back(tmp_path):
    path = tmp_path / "houses.csv"
    path.write_text("rooms,price\n" + "".join(f"{k % 7},{3.5 * (k % 7) + k}\n" for k in range(40)))
    frame = load_table(path)
    rows = split_table(frame, "price")
    assert [mask.sum() for mask in rows] == [32, 4, 4]
    recipe = learn_recipe(frame, "price", rows=rows[0])
    x, notes = recipe.inputs(frame)
    y, keep = recipe.targets(frame)
    assert (x.shape, y.shape, x.dtype, notes, keep.all()) == ((40, 1), (40, 1), np.float32, [], True)
    np.testing.assert_allclose(x[rows[0]].mean(0), 0, atol=1e-6)
    decoded = recipe.decode(y)["prediction"].to_numpy()
    np.testing.assert_allclose(decoded, frame["price"].cast(polars.Float64).to_numpy(), rtol=1e-6, atol=1e-5)
    assert Recipe.from_json(recipe.to_json()) == recipe
