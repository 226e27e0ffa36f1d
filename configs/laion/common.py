"""What the configs of LAION share: pictures of 256x256 and their captions, in a folder.

`metadata.jsonl` in the folder has a line for each picture, see `data.folder.read`.
"""

from ml_collections import ConfigDict

FOLDER = "laion"  # in the working directory: train/*.jpg and train/metadata.jsonl, test/ alike


def pictures(path: str) -> ConfigDict:
    """Return the section `data`: the middle of each picture, and its caption."""
    return ConfigDict({"name": "folder", "path": path, "size": 256, "shape": (256, 256, 3)})
