"""The configs that ship, one file a system, in a package for each data set with what its systems share.

A config is a Python file with `get_config()`, and commands take its path. In the repository that is
`configs/<dataset>/<system>.py`; an installation has the same files as `diffjax.configs.<dataset>.<system>`
(`diffjax/configs` is a link to this folder). A file imports what is shared by that name, never by where it
lies itself, so that a copy of it works anywhere.
"""

from pathlib import Path


def locate(config: str) -> str:
    """Return where a config file is: a path below `configs/` that is not here is one that ships.

    So a command that names `configs/digits/ddpm.py` means the same in any directory.

    Args:
      config: path of a file, optionally with `:argument` behind it.

    Returns:
      The same if there is such a file, or none that ships either; or else with the path of that.
    """
    file, colon, argument = config.partition(":")
    folder, *below = Path(file).parts or ("",)
    shipped = Path(__file__).parent.joinpath(*below)
    if folder == "configs" and not Path(file).exists() and shipped.is_file():
        return f"{shipped}{colon}{argument}"
    return config
