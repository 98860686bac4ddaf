"""Claim: for chips that are not here, our programs compile to no more kernels an epoch than the textbook's formulas.

    pip install '.[aot]'; python bench/compile_ahead.py            (--chip v5e --chip H100 for some)

The real compilers of four TPU generations (libtpu) and two GPUs (the CUDA plug-in of jax and ptxas) compile `train`
and `train_ensemble` (the tutorial's network, 200 epochs; 256 of them), the first with its rows and the second with
its members on four devices too, compared with the tutorial's lines under `jit` or `vmap`. For GPUs, the kernel of all
epochs (`_gpu_training.py`) is compiled as well. Nothing runs, no time is claimed.

loops        in the whole program; the epochs are one, or none that is seen from outside of a kernel
kernels      an epoch: what the compiled loop starts, bookkeeping and collectives aside
fusions      those of them that are more than a single operation
collectives  an epoch: messages between devices
bundles      TPU: instructions of an epoch's kernels in the order of issue, a loop inside counted once (--bundles)
products in  TPU: what the inputs of a product are rounded to
A compiler that is not installed is skipped by name; the exit code is 1 if one fails.
"""

import argparse
import importlib.metadata
import importlib.util
import os
import pathlib
import re
import shutil
import sys
import tempfile
from collections import Counter
from typing import Any

import jax
import numpy as np
from common import report
from jax.experimental import topologies
from jax.sharding import NamedSharding, PartitionSpec

import jaxmlp
from jaxmlp._gpu_training import train_in_one_kernel
from jaxmlp.tutorial import tutorial

EPOCHS, MEMBERS, DEVICES = 200, 256, 4
DUMP = pathlib.Path(tempfile.gettempdir(), f"jaxmlp-bundles-{os.getpid()}")
TPU = {"v4": "v4:2x2x1", "v5e": "v5e:2x2", "v5p": "v5p:2x2x1", "v6e": "v6e:2x2"}
# What XLA asks of a GPU's data sheet; SI units and bytes, the clock in GHz.
GPU = {
    "A100": {"capability": (8, 0), "cores": 108, "fpus": 64, "shared_memory": 164 * 1024, "clock": 1.41,
             "memory": 80 * 2**30, "bandwidth": 2039 * 10**9, "l2": 40 * 2**20},
    "H100": {"capability": (9, 0), "cores": 132, "fpus": 128, "shared_memory": 228 * 1024, "clock": 1.98,
             "memory": 80 * 2**30, "bandwidth": 3352 * 10**9, "l2": 50 * 2**20},
}  # fmt: skip
COLLECTIVES = {"all-reduce", "all-gather", "all-to-all", "collective-permute", "collective-broadcast", "reduce-scatter"}
BOOKKEEPING = {"parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all", "partition-id"}
FUSIONS = {"fusion", "custom-call"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chip", action="append", choices=(*TPU, *GPU), help="only this one; may be repeated")
    parser.add_argument("--bundles", action="store_true", help="count a TPU's instructions too (through a dump)")
    args = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}  # which libtpu reads when it starts
    if args.bundles:
        os.environ["LIBTPU_INIT_ARGS"] = f"--xla_jf_dump_to={DUMP} --xla_jf_dump_llo_text=true"
    rows, failures = [], []
    for chip in args.chip or (*TPU, *GPU):
        compiler = "libtpu" if chip in TPU else "jax_cuda13_plugin"
        if importlib.util.find_spec(compiler) is None:
            print(f"skipped: {chip} ({compiler} is not here)")
            continue
        version = importlib.metadata.version(compiler)
        for program, systems in programs(devices(chip), kernel=chip in GPU).items():
            for system, (function, operands) in systems.items():
                try:
                    figures = compiled(function, operands, chip)
                except Exception as error:
                    failures.append(f"{chip}, {program}, {system}: {str(error).strip().splitlines()[0]}")
                    continue
                rows.append({"chip": chip, "program": program, "system": system} | figures | {"compiler": version})
    shutil.rmtree(DUMP, ignore_errors=True)
    if rows:
        report("compile_ahead", "programs compiled, not run", rows)
    textbook = {(row["chip"], row["program"]): row for row in rows if row["system"] == "textbook"}
    pairs = [(row, textbook.get((row["chip"], row["program"]), row)) for row in rows]
    above = [f"{a['chip']}, {a['program']}" for a, b in pairs if any(a[key] > b[key] for key in ("kernels", "fusions"))]
    if rows:
        print(f"\nMore kernels or fusions than the textbook's form: {'; '.join(above) or 'none'}")
    print(f"{len(rows)} programs compiled, {len(failures)} failures")
    print("\n".join(failures))
    return 1 if failures else 0


def devices(chip: str) -> list[Any]:
    """Four devices of a kind, which can be compiled for."""
    if chip in TPU:
        return topologies.get_topology_desc(platform="tpu", topology_name=TPU[chip]).devices
    gpu = GPU[chip]
    config = f"""
        gpu_device_info {{
          cuda_compute_capability {{ major: {gpu["capability"][0]} minor: {gpu["capability"][1]} }}
          core_count: {gpu["cores"]} fpus_per_core: {gpu["fpus"]} clock_rate_ghz: {gpu["clock"]}
          device_memory_size: {gpu["memory"]} memory_bandwidth: {gpu["bandwidth"]} l2_cache_size: {gpu["l2"]}
          shared_memory_per_core: {gpu["shared_memory"]} shared_memory_per_block: {48 * 1024}
          shared_memory_per_block_optin: {gpu["shared_memory"] - 1024}
          threads_per_warp: 32 threads_per_block_limit: 1024 threads_per_core_limit: 2048
          registers_per_core_limit: 65536 registers_per_block_limit: 65536
          block_dim_limit_x: {2**31 - 1} block_dim_limit_y: 65535 block_dim_limit_z: 65535
        }}
        platform_name: "CUDA" device_description_str: "NVIDIA {chip}"
        dnn_version_info {{ major: 9 minor: 7 }} runtime_version {{ major: 12 minor: 8 }}"""
    return topologies.get_topology_desc(platform="cuda", target_config=config, topology=f"1x1x{DEVICES}").devices


def programs(four: list[Any], kernel: bool) -> dict[str, dict[str, tuple[Any, tuple[Any, ...]]]]:
    """Each program: what our function and the textbook's lines take to be it."""

    def operands(mesh, rows, axes, members=()):
        def array(shape, spec=()) -> Any:
            return jax.ShapeDtypeStruct(shape, np.float32, sharding=NamedSharding(mesh, PartitionSpec(*spec)))

        shapes = (3, 32), (1, 32), (32, 1), (1, 1)
        leaves = tuple(array((*members, *shape), axes if members else ()) for shape in shapes)
        x, y, weights = (array(shape, () if members else axes) for shape in ((rows, 3), (rows, 1), (rows,)))
        return leaves, x, y, array(()), weights

    def one(mesh, rows, axes=()):
        leaves, x, y, rate, weights = operands(mesh, rows, axes)
        params = jaxmlp.Layer(*leaves[:2]), jaxmlp.Layer(*leaves[2:])
        ours = jaxmlp.train, (params, x, y, rate, *([weights] if axes else []))
        return {"jaxmlp": ours, "textbook": (tutorial, (leaves, x, y, rate))}

    def many(mesh, axes=()):
        leaves, x, y, rate, _ = operands(mesh, 100, axes, (MEMBERS,))
        params = jaxmlp.Layer(*leaves[:2]), jaxmlp.Layer(*leaves[2:])
        peer = jax.vmap(tutorial, (0, None, None, None))
        return {"jaxmlp": (jaxmlp.train_ensemble, (params, x, y, rate)), "textbook": (peer, (leaves, x, y, rate))}

    def precisely(function):
        def at_highest(*operands):
            with jax.default_matmul_precision("highest"):
                return function(*operands)

        return at_highest

    def in_one_kernel(params, x, y, rate):
        return train_in_one_kernel(params, x, y, None, rate, jaxmlp.relu, jaxmlp.squared_error, EPOCHS)

    alone, together = jaxmlp.sharding.data_mesh(four[:1]), jaxmlp.sharding.data_mesh(four[:DEVICES])
    train = one(alone, 100)
    return {
        "train": train | ({"one kernel": (in_one_kernel, train["jaxmlp"][1])} if kernel else {}),
        "train, highest precision": {name: (precisely(f), given) for name, (f, given) in train.items()},
        f"train, rows on {DEVICES}": one(together, 104, ("data",)),
        "train_ensemble": many(alone),
        f"train_ensemble, members on {DEVICES}": many(together, ("data",)),
    }


def compiled(function: Any, operands: tuple[Any, ...], chip: str) -> dict[str, Any]:
    """Compile a program for a chip, and count."""
    for path in DUMP.glob("*"):
        path.unlink()
    mesh = jax.tree.leaves(operands)[0].sharding.mesh
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):  # which tells Pallas the kind of device
        # As a function of its own: jit would take a jitted one's cached program.
        program: Any = jax.jit(lambda *operands: function(*operands)).lower(*operands).compile()
    text = program.as_text()
    epoch, share = epoch_loop(text)
    kinds = Counter(kind for kind, _ in epoch)
    messages = {kind: count * share for kind, count in kinds.items() if kind in COLLECTIVES}
    kernels = sum(kinds.values()) - sum(kinds[kind] for kind in COLLECTIVES)
    figures = {
        "loops": len(re.findall(r" while\(", text)),
        "kernels": kernels * share,
        "fusions": sum(kinds[kind] for kind in FUSIONS) * share,
        "collectives": ", ".join(f"{count:g} {kind}" for kind, count in messages.items()) or "none",
        "temp_KiB": program.memory_analysis().temp_size_in_bytes / 1024,
    }
    if chip in TPU:
        figures["bundles"] = bundles({name for _, name in epoch}) if DUMP.exists() else None
        figures["products in"] = "bfloat16" if "bf16[" in text else "float32"
    return figures


def epoch_loop(text: str) -> tuple[list[tuple[str, str]], float]:
    """(operation, name) of each instruction that the loop over epochs starts, and the epochs of a turn, inverted."""
    bodies = {m[1]: m[2].splitlines() for m in re.finditer(r"^(?:ENTRY )?%?(\S+) .*?\{\n(.*?)^\}", text, re.S | re.M)}
    loops = re.findall(r" while\(.*?body=%?([\w.\-]+)(?:.*?known_trip_count\W+n\W+(\d+))?", text)
    body, turns = loops[0] if loops else (re.findall(r"^ENTRY %?(\S+)", text, re.M)[0], 1)
    found = []
    pending = [body]
    while pending:
        for line in bodies[pending.pop()]:
            match = re.match(r"\s*(?:ROOT )?%?(\S+) = (?:\(.*?\)|\S+) ([a-z\-]+)\(", line)
            name, kind = match.groups() if match else ("", "tuple")
            if kind == "call":
                pending += re.findall(r"to_apply=%?([\w.\-]+)", line)
            elif kind not in BOOKKEEPING and not kind.endswith(("-done", "-update")):
                found.append((kind.removesuffix("-start"), name))
    return found, int(turns or EPOCHS) / EPOCHS


def bundles(names: set[str]) -> int:
    """The bundles of the kernels of these names, in libtpu's last dump."""
    count = 0
    for path in DUMP.glob("*-final_bundles.txt"):
        match = re.fullmatch(r"\d+-(.*)-\d+-final_bundles.txt", path.name)
        if match and match[1] in names:
            count += len(re.findall(r"^ *(?:0x)?[0-9a-f]+ .*?: .*?\{", path.read_text(), re.M))
    return count


if __name__ == "__main__":
    sys.exit(main())
