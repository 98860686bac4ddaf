"""A table for tests of whole searches, and the options that make them small: the same shapes, so one program each."""

import numpy as np
import polars

N = 80
# Hidden layer of 8, steps of 8 rows, and time enough for the whole plan.
SMALL = {"hidden": (8,), "batch_size": 8, "budget": 1e6}
SHORT = SMALL | {"epochs": 8}
FAST = SHORT | {"fast": True}
SEARCH = SHORT | {"weight_decay": 0.1, "learning_rate": 0.003}  # three candidates, which differ in their bins


def houses():
    """Houses whose price is no linear function of rooms and city; zone is noise, age has missing values."""
    rng = np.random.default_rng(0)
    rooms, age, zone = rng.uniform(1, 9, size=N), rng.uniform(0, 50, size=N).round(), rng.normal(size=N)
    city = rng.choice(["Oslo", "Rome"], size=N)
    price = 1000 * ((rooms - 5) ** 2 + 6 * (city == "Oslo") + 0.3 * rng.normal(size=N))
    return polars.DataFrame({
        "zone": zone, "age": [None if k % 5 == 0 else age[k] for k in range(N)], "rooms": rooms, "city": city,
        "street": "Via", "price": price,
    })  # fmt: skip


def words(options):
    """Options of `fit_table` as words of the command."""
    line = []
    for name, value in options.items():
        line.append("--" + name.replace("_", "-"))
        if value is not True:
            line.append(",".join(map(str, value)) if isinstance(value, tuple) else value)
    return line
