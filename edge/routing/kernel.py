"""How the kernels of lateness and of large orders are compiled: once, each by itself, and cached.

A kernel's signature is read from its annotations, so nothing is compiled for more than one
set of types, and calling it compiles nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numba.core import config as numba_config
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Table = NDArray[np.int64]
"""Two-dimensional."""
Flags = NDArray[np.bool_]
"""Two-dimensional."""

Bits = NDArray[np.uint64]
"""Two-dimensional."""

Sites = tuple[Flags, Table, Ints, Ints, Ints]
"""Of S sites: bool[S, G] what they may ship, int64[S, G] at what cost, and their packages'
steps, see ``sites``: int64[S + 1] first step, int64[K] weight, int64[K] price."""
Relaxed = tuple[Table, Ints, Ints, Ints]
"""A relaxed problem: int64[G, S] cost, int64[S] slack, int64[S] intercept, int64[G] dual."""
Steps = tuple[Ints, Ints, Ints, Ints]
"""Of P packages: int64[P] first step, int64[P] last one, int64[K] weight, int64[K] price."""

Tails = NDArray[np.int32]
"""Two-dimensional: distributions by row, see ``lateness``."""

Function = TypeVar("Function", bound=Callable[..., object])

_TYPES = {
    "None": "void",
    "int": "int64",
    "bool": "boolean",
    "Ints": "int64[::1]",
    "Table": "int64[:, ::1]",
    "Flags": "boolean[:, ::1]",
    "Bits": "uint64[:, ::1]",
    "Sites": "Tuple((boolean[:, ::1], int64[:, ::1], int64[::1], int64[::1], int64[::1]))",
    "Relaxed": "Tuple((int64[:, ::1], int64[::1], int64[::1], int64[::1]))",
    "Steps": "UniTuple(int64[::1], 4)",
    "Tails": "int32[:, ::1]",
}


_SOURCES = (
    "allotment", "calendar", "chosen", "covering", "fences", "improve", "interchange", "kernel",
    "kits", "lateness", "merging", "placing", "reach", "relaxation", "root", "search", "sites",
    "tails", "tolls",
)  # fmt: skip
_config: Any = numba_config


def _folder() -> str:
    """A cache folder of its own for the present text of the kernels.

    Numba looks only at the file of a kernel to see whether what it cached is current, not
    at the files of the kernels that it calls.
    """
    here = Path(__file__).parent
    if not _config.CACHE_DIR and not os.access(here, os.W_OK):
        return ""  # installed read-only: numba knows a place, and nobody edits the sources
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((here / name).with_suffix(".py").read_bytes())
    folder = Path(_config.CACHE_DIR or here / "__pycache__")
    return str(folder / f"kernels-{digest.hexdigest()[:16]}")


_FOLDER = _folder()


def signature_of(function: Callable[..., object]) -> str:
    """Numba's signature of a function, from its annotations."""
    types = dict(function.__annotations__)
    returned = types.pop("return")
    if returned.startswith("tuple["):
        parts = returned.removeprefix("tuple[").removesuffix("]").split(", ")
        result = f"Tuple(({', '.join(_TYPES[part] for part in parts)}))"
    else:
        result = _TYPES[returned]
    return f"{result}({', '.join(_TYPES[name] for name in types.values())})"


def inlined(function: Function) -> Function:
    """A part of kernels that numba writes into each of its callers.

    A call of its own would count the references of every array that it is passed, at the price
    of several look-ups in them.
    """
    assert Path(function.__code__.co_filename).stem in _SOURCES, "its text would not be watched"
    return cast("Function", njit(inline="always")(function))


def kernel(function: Function) -> Function:
    """Compile for the annotated types when imported, or load from the cache."""
    assert Path(function.__code__.co_filename).stem in _SOURCES, "its text would not be watched"
    before = _config.CACHE_DIR
    _config.CACHE_DIR = _FOLDER or before
    try:
        compiled = njit(signature_of(function), cache=True)(function)
    finally:
        _config.CACHE_DIR = before
    return cast("Function", compiled)
