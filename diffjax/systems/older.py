"""Parameters of runs that were made before they had names, read as those of today."""

from collections.abc import Mapping
from typing import Any


def named(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return {name: tree} of what a checkpoint holds.

    Before, a system's parameters were Flax's `{"params": ...}`, or `{"network": {"params": ...}, ...}` of a
    VDM, and a network held its label table at `embed/label`.

    Args:
      values: of a checkpoint; those that have names come back as they are.
    """
    if "params" in values:
        values = {"network": values}
    network = values.get("network")
    if not (isinstance(network, Mapping) and set(network) == {"params"}):
        return values
    tree = dict(network["params"])
    embed = dict(tree.get("embed", {}))
    table = embed.pop("label", None)
    if table is None:
        return {**values, "network": tree}
    return {**values, "network": tree | {"embed": embed}, "conditions": {"embed": {"label": table}}}
