"""Ways to train an energy (contrastive divergence, short runs, score matching)

Hinton 2002, Tieleman 2008, Du & Mordatch 2019 (arXiv:1903.08689), Nijkamp et al. 2019 (arXiv:1904.09770) and
Vincent 2011: one energy, an MLP of 3 x 64 units, on a ring of eight Gaussians of unequal weights, 4,000 steps
of 256 points. All chains are Langevin dynamics with the noise that their step of 0.002 asks for.

- "PCD": 20 steps that go on from a replay buffer of 10,000 chains (persistent contrastive divergence).
- "CD-1", "CD-10": 1 or 10 steps from the data.
- "short run": 20 steps from uniform noise in [-2, 2]^2, no buffer.
- "DSM": denoising score matching of -grad E at the one noise level 0.05, no chains.

"KL" is that from the data to the density exp(-E) / Z, in nats, with Z by quadrature over [-3, 3]^2; "KL,
inside" over [-2, 2]^2, which does not count what mass an energy has outside. "TV" is the total variation
between the weights of its modes and the true ones, both by quadrature inside. "chain" is the sliced
Wasserstein distance to the ring of 2,520 samples of the chain of training, begun where that begins (PCD: in
noise, 2,000 steps, about what a chain of the buffer has behind it; DSM: the same), "long chain" that after
2,000 steps from noise. "true energy" is what such chains do at best, "data" fresh points.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import samplers
from diffjax.evaluation import quadrature
from diffjax.evaluation.classes import total_variation
from diffjax.process import energy as energies
from diffjax.systems import ebm, read
from experiments import drawing, ring, study

_INSIDE = "KL, inside"
_NUM, _LONG, _STEP = 70 * ring.UNIT, 2000, 2e-3


def _config(**objective):
    return study.config_of(
        "toys/ebm.py", objective_={"start": (-2.0, 2.0)} | objective, training={"num_steps": 4000}
    )


def _contrastive(starts, steps):
    return _config(starts=starts, steps=steps, step_size=_STEP, regularization=1e-3)


ARMS = {
    "PCD": _contrastive({"name": "persistent", "size": 10_000, "share": 1.0}, 20),
    "CD-1": _contrastive("data", 1),
    "CD-10": _contrastive("data", 10),
    "short run": _contrastive("afresh", 20),
    "DSM": _config(loss={"name": "denoising", "sigma": 0.05}),
    "true energy": None,
    "data": None,
}
CLAIMS = [
    study.Claim(text, paper, less, more)
    for text, paper, less, more in [
        ("persistent chains beat one step from the data", "Tieleman 2008", ("PCD", "KL"), ("CD-1", "KL")),
        ("so they do inside", "Tieleman 2008", ("PCD", _INSIDE), ("CD-1", _INSIDE)),
        ("ten steps from the data beat one, inside", "Hinton 2002", ("CD-10", _INSIDE), ("CD-1", _INSIDE)),
        ("score matching beats one step, inside", "Vincent 2011", ("DSM", _INSIDE), ("CD-1", _INSIDE)),
        (
            "a short run's energy is no density",
            "Nijkamp et al. 2019",
            ("PCD", "KL"),
            ("short run", "KL"),
        ),
        (
            "a short run samples better than a long one of its energy",
            "Nijkamp et al. 2019",
            ("short run", "chain"),
            ("short run", "long chain"),
        ),
    ]
]
REMARKS = """
- Inside the box where chains begin all but the short run's energy are close to the data: score matching
  (0.055) and PCD (0.064), which two standard deviations do not tell apart, then CD-10 (0.076) and CD-1
  (0.124). Of score matching's, 0.02 nats are its noise, which its density keeps.
- Outside only PCD knows anything: its chains go wherever the energy is low. CD and score matching look at
  the data's surroundings alone, and how much mass they leave elsewhere is chance: the KL over the larger box
  is 0.17, 0.55 and 5.3 for CD-1, 0.07, 1.8 and 2.0 for score matching. It is for that spread, not for a seed
  of the other order, that the first claim does not show.
- The short run is no maximum likelihood: 21 nats. Its energy drives noise onto the ring within 20 steps and
  is not in equilibrium where they stop. The samples of those very 20 steps are nearer to the ring than 2,000
  steps of any energy from the same noise, the true one included: training fits where they arrive, while
  long chains from uniform noise stay in the mode that they met first, whatever its weight. After 2,000 steps
  of its own energy they are far away.
- Chains of CD that begin at the data are as good as fresh points, which says nothing of the energy.
"""
REMARKS_OF = "4004a55754b9"
CAPTION = """
Left: how far the density of each energy is from the data's, with all its mass and with that inside the box
where chains begin. Right: how far chains end from the data. Large points are means, strokes the three seeds.
To look at: the distance between the two left-hand points of a row (mass that an energy left far from the
data), and the short run, whose own chain arrives though its density is nowhere near.
"""


def measure(name, config, variables, seed):
    if name == "data":
        return dict.fromkeys(("chain", "long chain"), ring.floor(seed, _NUM))
    energy = ebm.energy(read.network(config))(variables) if config is not None else _true_energy
    found = _density(jax.jit(lambda x: energy(x, jnp.zeros(len(x)))), seed)
    far = _chain(energy, seed, "noise", _LONG)
    begins = {"CD-1": ("data", 1), "CD-10": ("data", 10), "short run": ("noise", 20)}
    near = _chain(energy, seed, *begins[name]) if name in begins else far
    return found | {"chain": near, "long chain": far}


def _true_energy(x, t, cond=None):
    return -ring.mixture().log_prob(x)


def _density(energy, seed):
    """Measure exp(-E) / Z against the ring."""
    truth, x = ring.mixture(), jnp.asarray(ring.fresh(seed, 50_000))
    gap = lambda box: float(jnp.mean(quadrature.nll(energy, x, _partition(energy, box)) + truth.log_prob(x)))
    ticks = (np.arange(200) + 0.5) / 50 - 2
    grid = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)
    mode = np.linalg.norm(grid[:, None] - truth.means, axis=-1).argmin(1)
    mass = np.asarray(jax.nn.softmax(-energy(jnp.asarray(grid, jnp.float32))), np.float64)
    shares = np.bincount(mode, mass, len(truth.weights))
    return {"KL": gap(3.0), _INSIDE: gap(2.0), "TV": total_variation(shares, truth.weights)}


def _partition(energy, half):
    return quadrature.partition(energy, [[-half, half]] * 2)


def _chain(energy, seed, begin, steps):
    """Return the distance to the ring of Langevin chains from fresh data or from noise."""
    key_begin, key_walk = jax.random.split(jax.random.key(20_000 + seed))
    noise = jax.random.uniform(key_begin, (_NUM, 2), minval=-2.0, maxval=2.0)
    x = noise if begin == "noise" else jnp.asarray(ring.fresh(10_000 + seed, _NUM))
    walk = jax.jit(
        lambda x: samplers.short_run(key_walk, energies.score(energy), x, num_steps=steps, step_size=_STEP)
    )
    return ring.distance(walk(x), seed)


def figure(path, results):
    titles = {
        "PCD": "PCD: 20 steps from a replay buffer",
        "CD-1": "CD-1: 1 step from the data",
        "CD-10": "CD-10: 10 steps from the data",
        "short run": "short run: 20 steps from noise",
        "DSM": "denoising score matching, no chains",
        "true energy": "the true energy",
    }
    drawn, axes = drawing.panels(1, 2, 10.5, 4.2, sharey=True)
    density, chains = axes[0]
    sides = [
        (density, "KL", "KL divergence over [-3, 3]²", _INSIDE, "KL divergence inside [-2, 2]²"),
        (chains, "chain", "chain as in training", "long chain", "chain of 2,000 steps from noise"),
    ]
    for axis, *metrics in sides:
        arms = [arm for arm in titles if axis is chains or arm != "true energy"]
        for i, (metric, title) in enumerate(zip(metrics[::2], metrics[1::2])):
            y, color = drawing.values(results, arms, [metric]), f"C{i + 2 * (axis is chains)}"
            drawing.dots(axis, np.arange(len(arms)) + 0.3 * i - 0.15, y, title, color, "os"[i])
    drawing.log(density, (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20))
    density.text(0.05, len(titles) - 1, "0, by definition", va="center", fontsize=8)
    density.set(xlabel="KL divergence from the data, nats")
    drawing.floor(chains, drawing.values(results, ["data"], ["chain"]), "fresh points of the ring")
    chains.set(xlabel="sliced Wasserstein distance of the samples to the ring", xlim=(0, None))
    drawing.titled_rows(axes[0], list(titles.values()))
    drawing.save(drawn, path, 3, drawing.SEEDS)


if __name__ == "__main__":
    study.main(sys.modules[__name__])
