"""Named tensors from checkpoint files."""

import pathlib

import numpy as np

_READABLE = (".safetensors", ".pt", ".pth")


def read_tensors(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Read the tensors of one checkpoint.

    Args:
      path: a `.safetensors` file, a torch `.pt` or `.pth` file that holds a state dict, or a folder with
        exactly one such file.

    Returns:
      Arrays by the names that the file gives them.

    Raises:
      FileNotFoundError: if there is nothing at `path`.
      ValueError: if it is no such file, or a folder with none or several, or a file of something else than
        tensors.
      ImportError: if the package that reads the format is not installed.
    """
    file = _one_file(pathlib.Path(path))
    return _read_safetensors(file) if file.suffix == ".safetensors" else _read_torch(file)


def _one_file(path):
    if not path.exists():
        raise FileNotFoundError(f"path: there is no file or folder {path}")
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix in _READABLE)
        if len(files) != 1:
            found = ", ".join(f.name for f in files) or "none"
            raise ValueError(f"path: a folder must hold one {' or '.join(_READABLE)}; {path} has {found}")
        return files[0]
    if path.suffix not in _READABLE:
        raise ValueError(f"path: must end in one of {', '.join(_READABLE)}; got {path.name}")
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
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ValueError(f"path: {file.name} must hold a state dict of tensors")
    return {name: tensor.float().numpy() for name, tensor in state.items()}
