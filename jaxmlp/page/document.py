"""The page as one HTML file: the template with its style, its scripts and the data of a run."""

import base64
import json
from collections.abc import Sequence
from importlib.resources import files

import numpy as np

from jaxmlp.page.program import DEAD, FORMULAS, OFF
from jaxmlp.page.recording import MOST_UNITS, Recording
from jaxmlp.page.small import small_example
from jaxmlp.storage.json import JsonObject

# In the order in which the browser reads them.
SCRIPTS = ("numbers", "program", "checks", "state", "fields", "network", "drawing", "pointer", "charts", "nudge")
SCRIPTS += ("terms", "explanation", "small", "main")


def build_page(recording: Recording, options: JsonObject, sizes: Sequence[int]) -> str:
    """Return the page of a run: HTML that asks no network for anything.

    Arguments:
        recording: from `record`.
        options: seed, activation and learning_rate of the run, its command, and the version of the package.
        sizes: layer widths from inputs to outputs.
    """
    page = files("jaxmlp.page") / "browser"
    text = (page / "page.html").read_text(encoding="utf-8")
    parts = {"style": (page / "page.css").read_text(encoding="utf-8"), "data": _data(recording, options, sizes)}
    parts["script"] = "\n".join((page / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    for name, part in parts.items():
        text = text.replace(f"/* {name} */", part)
    return text


def _data(recording: Recording, options: JsonObject, sizes: Sequence[int]) -> str:
    """Return the data as JSON, one entry a line; arrays are base64 of their bytes, little-endian."""
    data = dict(options) | {"sizes": list(sizes), "notes": _notes(recording, sizes)}
    data |= {"epochs": recording.epochs, "steps": [step._asdict() for step in recording.steps]}
    data |= {name: _encode(getattr(recording, name), "<f4") for name in ("x", "y", "predictions")}
    data["losses"] = _encode(recording.losses[np.array(recording.epochs[1:], int) - 1], "<f4")
    data["loss64"] = _encode(recording.loss64, "<f8")
    for name, dtype in (("weights", "<f4"), ("jax_grad", "<f4"), ("worst", "<f4")):
        data[name] = {key: _encode(value, dtype) for key, value in getattr(recording, name).items()}
    data["formulas"] = FORMULAS[options["activation"]]
    data |= {"off": OFF, "dead": DEAD, "small": small_example().to_dict()}
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in data.items())
    return "{\n" + text.replace("</", "<\\/") + "\n}"


def _notes(recording: Recording, sizes: Sequence[int]) -> list[str]:
    """Return what the page leaves out."""
    notes, units, stride = [], sum(sizes[1:-1]), np.diff(recording.epochs[1:3])
    if units > MOST_UNITS:
        notes.append(
            f"This network has {units} hidden units. The page draws networks of at most {MOST_UNITS}, so it leaves out "
            "the network, its gradients and the nudge, and shows loss and predictions."
        )
    if stride.size and stride[0] > 1:
        notes.append(f"To keep the page small, it shows one of {stride[0]} epochs.")
    finite = np.isfinite(recording.losses)
    if not finite.all():
        first = int(np.argmin(finite)) + 1
        notes.append(f"The loss is not finite from epoch {first} on; the page shows the epochs before.")
    return notes


def _encode(values: np.ndarray, dtype: str) -> str:
    return base64.b64encode(np.asarray(values, dtype).tobytes()).decode("ascii")
