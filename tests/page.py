"""The data of a page, read from its HTML."""

import base64
import json
import pathlib
import re

import numpy as np

COMMITTED = pathlib.Path(__file__).parent.parent / "docs" / "see-it-learn.html"
DATA = re.compile(r'(<script type="application/json" id="data">\n)(.*?)(\n</script>)', re.DOTALL)


def data_of(html):
    """The data as a dict; arrays of parameters and their gradients have a leading axis for epochs."""
    data = json.loads(DATA.search(html)[2])
    shapes = {}
    for k, (rows, columns) in enumerate(zip(data["sizes"][:-1], data["sizes"][1:], strict=True), 1):
        shapes |= {f"w{k}": (-1, rows, columns), f"b{k}": (-1, 1, columns)}
    for group in ("weights", "jax_grad", "worst"):
        for name, text in data[group].items():
            shape = (-1,) if group == "worst" else shapes[name.removeprefix("grad_")]
            data[group][name] = decode(text).reshape(shape)
    data["x"], data["y"] = decode(data["x"]).reshape(-1, data["sizes"][0]), decode(data["y"])[:, None]
    data["losses"], data["loss64"] = decode(data["losses"]), decode(data["loss64"], "<f8")
    data["predictions"] = decode(data["predictions"])
    return data


def decode(text, dtype="<f4"):
    return np.frombuffer(base64.b64decode(text), dtype).astype(np.float64)
