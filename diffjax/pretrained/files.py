"""Named tensors from checkpoint files."""

import pathlib
import pickle
import zipfile
from collections.abc import Mapping

import numpy as np


def read_tensors(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Read the tensors of one checkpoint.

    Args:
      path: a `.safetensors` or `.npz` file, a torch `.pt` or `.pth` file that holds a state dict, or a folder
        with exactly one such file.

    Returns:
      Arrays by the names that the file gives them.

    Raises:
      FileNotFoundError: if there is nothing at `path`.
      ValueError: if it is no such file, or a folder with none or several, or a file that is damaged or of
        something else than tensors.
      ImportError: if the package that reads the format is not installed.
    """
    file = _one_file(pathlib.Path(path))
    return _READERS[file.suffix](file)


def check_tensors(tensors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a checkpoint whose tensors are not exactly those that a network needs.

    Args:
      tensors: arrays by name.
      shapes: of the network, by the same names.

    Raises:
      ValueError: if a name is missing or left over, or a shape differs.
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
        raise ValueError(f"checkpoint: its tensors are not those of the network: {counts}")
    for name, shape in shapes.items():
        got = tensors[name].shape
        if got != shape:
            raise ValueError(f"checkpoint: {name} must have shape {shape} for the network; got {got}")


def _one_file(path):
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
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise ImportError(f"reading {file.name} needs safetensors: pip install safetensors") from error
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f"path: {file.name} must be a whole safetensors file: {error}") from error


def _read_torch(file):
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"reading {file.name} needs torch: pip install torch") from error
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:  # whose texts fill a page
        message = (
            f"path: {file.name} must be a whole torch file of tensors; it is damaged or holds other objects"
        )
        raise ValueError(message) from error
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ValueError(f"path: {file.name} must hold a state dict of tensors")
    return {name: tensor.float().numpy() for name, tensor in state.items()}


def _read_npz(file):
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"path: {file.name} must be an .npz file of arrays: {error}") from error


_READERS = {
    ".safetensors": _read_safetensors,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".npz": _read_npz,
}
