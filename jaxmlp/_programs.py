"""Compiled programs, of which only those used last are kept.

Each new shape compiles another program. JAX keeps them all: some 10 MB and 100 memory maps each, until the process has
no maps left and ends.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import cache, update_wrapper, wraps
from threading import Lock
from typing import Any

import jax
import numpy as np
from jax.typing import DTypeLike

CompilerOptions = dict[str, Any]
# Number of programs of a function that are kept: one for each combination of shapes, dtypes and static arguments.
KEPT = 32
# For what runs once: a draw of weights compiles 1.4 to 4 times as fast, and the program is no slower.
QUICK: CompilerOptions = {"xla_backend_optimization_level": 1}
# For short runs: programs compile twice as fast, and need up to 1.4 times as long (`bench/estimators.py --part first`
# and `--part later`). JAX 0.11 and newer has no such option.
SHORT: CompilerOptions = dict(QUICK)
if jax.__version_info__ < (0, 11):
    SHORT |= {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}


class Programs:
    """Jitted copies of a function, one for each key. The one used least recently is dropped, and its memory freed.

    Arguments:
        function: a pure function.
        options: of `jax.jit`.
    """

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self._function, self._options = function, options
        self._programs: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, compiler_options: CompilerOptions | None = None) -> Any:
        """Return the program of a key, with compiler options, of which a key has one set, or without."""
        place = key, bool(compiler_options)
        try:
            self._programs.move_to_end(place)
            return self._programs[place]
        except KeyError:  # new, or dropped by another thread
            return self._add(place, compiler_options)

    def _add(self, place: Hashable, compiler_options: CompilerOptions | None) -> Any:
        # JAX frees a program with its function, so that each program needs a function of its own.
        @wraps(self._function)
        def copy(*args: object, **keywords: object) -> Any:
            return self._function(*args, **keywords)

        with self._lock:
            program = jax.jit(copy, compiler_options=compiler_options, **self._options)
            program = self._programs.setdefault(place, program)
            while len(self._programs) > KEPT:
                self._programs.popitem(last=False)[1].clear_cache()
        return program

    def call(self, key: Hashable, compiler_options: CompilerOptions | None, *args: object, **keywords: object) -> Any:
        """Call the program of a key; without the compiler options inside another program, or on a GPU or TPU."""
        if compiler_options and _runs_on_cpu():
            try:
                return self.get(key, compiler_options)(*args, **keywords)
            except ValueError as error:
                if "compiler_options" not in str(error):  # JAX refuses these options inside another program.
                    raise
        return self.get(key)(*args, **keywords)

    def count(self) -> int:
        """Return the number of compiled programs that are kept."""
        return sum(program._cache_size() for program in self._programs.values())


@cache
def _runs_on_cpu() -> bool:
    return jax.default_backend() == "cpu"


class BoundedJit:
    """`jax.jit` of a function of positional arguments, which keeps the last `KEPT` programs only.

    Arguments:
        function: a pure function.
        static_argnums: positions of the static arguments, which must be hashable.
        compiler_options: of XLA on a CPU, where a call gives no others.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        static_argnums: tuple[int, ...] = (),
        compiler_options: CompilerOptions | None = None,
    ) -> None:
        update_wrapper(self, function)
        self.programs = Programs(function, static_argnums=static_argnums)
        self._static, self._compiler_options = static_argnums, compiler_options

    def __call__(self, *args: object, compiler_options: CompilerOptions | None = None) -> Any:
        return self.programs.call(self._key(*args), compiler_options or self._compiler_options, *args)

    def program(self, *args: object) -> Any:
        """Return the jitted function for arguments of these shapes, without compiler options."""
        return self.programs.get(self._key(*args))

    def _key(self, *args: object) -> Hashable:
        static = tuple([args[k] for k in self._static])
        leaves, tree = jax.tree.flatten([arg for k, arg in enumerate(args) if k not in self._static])
        return static, tree, tuple([_describe(leaf) for leaf in leaves])


def bounded_jit(
    *static_argnums: int, compiler_options: CompilerOptions | None = None
) -> Callable[[Callable[..., Any]], BoundedJit]:
    """Return the decorator that makes a `BoundedJit`."""
    return lambda function: BoundedJit(function, static_argnums, compiler_options)


def _describe(leaf: Any) -> Hashable:
    """Return what decides, of a traced argument, for which program it is."""
    return (leaf.shape, leaf.dtype) if hasattr(leaf, "shape") else type(leaf)


# The default initializer of weights; a custom one runs as it is, because it may return other weights in each call.
he_normal = BoundedJit(jax.nn.initializers.he_normal(), (1, 2), QUICK)


def zeros(shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
    """Return zeros, for which no program is compiled."""
    return jax.device_put(np.zeros(shape, dtype))
