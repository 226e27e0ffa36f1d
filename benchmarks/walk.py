"""What a sampler costs on top of its network: 50 DDIM steps beside 50 bare calls of the network.

    python -m benchmarks.walk 5

The two take turns; a call is one compiled program, waited for, as a loop in Python would make it. Prints a
line of JSON for each U-Net.
"""

from benchmarks import ours, turns
from benchmarks.networks import DDIM_STEPS, FORWARDS, NETWORKS

VARIANT = "2 devices"


def measure(name, rounds):
    """Time both, so many rounds.

    Args:
      name: of a U-Net.
      rounds: timings of each.

    Returns:
      dict of JSON data: seconds of the walks and of as many calls.
    """
    network = NETWORKS[name]
    (walk, _), (calls, _) = ours.sample(network, VARIANT), ours.forward(network, VARIANT)
    turned = -(-DDIM_STEPS // FORWARDS)  # `calls` makes FORWARDS of them
    spent = turns.seconds({"walk": walk, "calls": lambda: [calls() for _ in range(turned)]}, rounds)
    share = DDIM_STEPS / (turned * FORWARDS)
    return {"network": name, "walk": spent["walk"], "calls": [share * each for each in spent["calls"]]}


if __name__ == "__main__":
    turns.of_each_unet(measure)
