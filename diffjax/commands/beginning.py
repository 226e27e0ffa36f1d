"""What `--init_from` names: the parameters that a run begins with."""

from pathlib import Path
from typing import Any

from diffjax.training import checkpoints, workdir
from diffjax.training.warm_start import Values


def read(source: str | Path) -> Values:
    """Read the parameters of a run or file.

    Args:
      source: the folder of a run, whose moving average is taken, and its parameters where none follows them;
        or a `.safetensors` or `.npz` file whose names are paths such as `network/Dense_0/kernel`.

    Returns:
      Values, for `training.fit(init_from=...)`.

    Raises:
      ValueError: if it is neither, or cannot be read.
    """
    path = workdir.local(source)
    if path.is_dir():
        params, average = (checkpoints.restore_params(path, ema=ema) for ema in (False, True))
        return Values({**params, **average}, str(source))
    from diffjax.pretrained.files import read_tensors  # other runs need no reader of files

    try:
        tensors = read_tensors(path)
    except FileNotFoundError:
        raise ValueError(f"init_from {str(source)!r} is neither a run nor a file of weights") from None
    tree: dict[str, Any] = {}
    for name, leaf in tensors.items():
        *parents, last = name.split("/")
        at = tree
        for parent in parents:
            at = at.setdefault(parent, {})
            if not isinstance(at, dict):
                break
        if not isinstance(at, dict) or last in at:
            raise ValueError(f"init_from {str(source)!r}: {name} is in the place of another array")
        at[last] = leaf
    return Values(tree, str(source))
