"""Named tensors from checkpoint files, and whether they are those of a network.

Whatever is in a file, nothing in it is executed, and what is wrong with it is said in one line that names it.
"""

import os
import pathlib
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from diffjax import archives


class WrongTensors(ValueError):
    """Say that the tensors of a checkpoint are not those that a network needs."""


def read_tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the tensors of one checkpoint.

    Args:
      path: a `.safetensors` or `.npz` file, a torch `.pt` or `.pth` file that holds a state dict, or a folder
        with exactly one such file.

    Returns:
      Arrays by the names that the file gives them.

    Raises:
      FileNotFoundError: if there is nothing at `path`.
      PermissionError: if it may not be read.
      ValueError: if it is no such file, or a folder with none or several, or a file that is damaged or of
        something else than tensors.
      ImportError: if the package that reads the format is not installed.
    """
    file = one_file(path)
    read, kind = _READERS[file.suffix]
    try:
        return read(file)
    except (ImportError, PermissionError):
        raise
    except Exception as error:  # a damaged file may raise anything in the parsers of zip, numpy and torch
        reason = (str(error).strip().splitlines() or [""])[0][:80] or type(error).__name__
        raise ValueError(
            f"path: {file.name} must be {kind}; it is damaged or holds something else ({reason})"
        ) from error


def check_tensors(tensors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a checkpoint whose tensors are not exactly those that a network needs.

    Args:
      tensors: arrays by name.
      shapes: of the network, by the same names.

    Raises:
      WrongTensors: if a name is missing or left over, a shape differs, or values are no finite floating point
        numbers of float32's range.
    """
    differences = {
        "missing": [name for name in shapes if name not in tensors],
        "left over": [name for name in tensors if name not in shapes],
    }
    if any(differences.values()):
        counts = "; ".join(
            f"{len(names)} {kind} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
            for kind, names in differences.items()
            if names
        )
        raise WrongTensors(f"checkpoint: its tensors are not those of the network: {counts}")
    for name, shape in shapes.items():
        array = tensors[name]
        if array.shape != shape:
            raise WrongTensors(
                f"checkpoint: {name} must have shape {shape} for the network; got {array.shape}"
            )
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise WrongTensors(f"checkpoint: {name} must be floating point; got {array.dtype}")
        with np.errstate(over="ignore"):
            wrong = np.count_nonzero(~np.isfinite(array.astype(np.float32)))
        if wrong:
            raise WrongTensors(
                f"checkpoint: {name} must be finite in float32; {wrong} of its {array.size} values are not"
            )


def shapes_of(module: nn.Module, *inputs: jax.ShapeDtypeStruct | None) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the shapes of a network's variables, by paths such as "params/conv/kernel"."""
    variables = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def one_file(path: str | os.PathLike) -> pathlib.Path:
    """Return the file at `path`, or the only one of the folder `path`, that `read_tensors` reads."""
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"path: there is no file or folder {path}")
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix in _READERS)
        if len(files) != 1:
            found = ", ".join(f.name for f in files) or "none"
            raise ValueError(f"path: a folder must hold one {' or '.join(_READERS)}; {path} has {found}")
        return files[0]
    if path.suffix not in _READERS:
        raise ValueError(f"path: must end in one of {', '.join(_READERS)}; got {path.name}")
    return path


def _read_safetensors(file):
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise ImportError(f"reading {file.name} needs safetensors: pip install safetensors") from error
    return load_file(file)


def _read_torch(file):
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"reading {file.name} needs torch: pip install torch") from error
    state = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise ValueError("no state dict of tensors by name")
    return {name: _from_torch(torch, tensor) for name, tensor in state.items()}


def _from_torch(torch, tensor):
    short = tensor.is_floating_point() and tensor.dtype != torch.float64
    return (tensor.detach().float() if short else tensor.detach()).numpy()  # float32 holds those numpy lacks


_TORCH = (_read_torch, "a whole torch file of tensors")
_READERS = {
    ".safetensors": (_read_safetensors, "a whole safetensors file"),
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".npz": (archives.read, "an .npz file of arrays"),
}
