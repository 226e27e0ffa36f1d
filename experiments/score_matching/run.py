"""Forms of score matching (score matching, sliced and denoising)

Song et al. 2019 (arXiv:1905.07088) and Vincent 2011, on a ring of eight Gaussians of standard deviation 0.2
whose score is known: the same MLP of 3 x 64 units learns it by each form of the loss, 2,000 steps of 512
fresh points with Adam. "explicit" regresses the true score and is the best that can be had; "implicit" has
the exact trace; "sliced" and "sliced, VR" one Rademacher direction a point; "denoising s" the noise level
s, at which alone its score is right.

"error" is the Fisher divergence of the learned score (the moving average of the weights) to the true one
over 20,000 fresh points, relative to the true score's mean square: 0 is exact, 1 as bad as no score at all.
"MFLOP" is the cost of one training step of 64 points in D = 2 and D = 64 dimensions, as the compiler counts
it.
"""

import sys
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffjax import exact, models, toys
from diffjax.objectives import score_matching
from diffjax.process import schedules
from diffjax.training import in_memory
from experiments import drawing, study

_STEPS, _BATCH, _POINTS, _DECAY = 2000, 512, 20_000, 0.995
_NOISES = (0.01, 0.05, 0.2)
_DIMENSIONS = (2, 64)
_MLP = models.MLP(width=64, depth=3, frequencies=2)
_TRUTH = exact.gaussian_mixture(*toys.ring8(sd=0.2))


def _explicit(key, network, x):
    return score_matching.explicit(network, x, _TRUTH.score(x) if x.shape[1] == 2 else -x)[0]


def _implicit(key, network, x):
    return score_matching.implicit(network, x)[0]


def _sliced(loss, key, network, x):
    return loss(network, x, jax.random.rademacher(key, x.shape, x.dtype))[0]


def _denoising(sigma, key, network, x):
    eps = jax.random.normal(key, x.shape)
    return score_matching.denoising(network, x, eps, schedules.edm()(np.float64(sigma)))[0]


_LOSSES = {
    "explicit": _explicit,
    "implicit": _implicit,
    "sliced": partial(_sliced, score_matching.sliced),
    "sliced, VR": partial(_sliced, score_matching.sliced_vr),
} | {f"denoising {sigma:g}": partial(_denoising, sigma) for sigma in _NOISES}

ARMS = dict.fromkeys(_LOSSES)

_D2, _D64 = (f"MFLOP, D = {dim}" for dim in _DIMENSIONS)
CLAIMS = [
    study.Claim(text, paper, (less, metric), (more, metric))
    for text, paper, less, more, metric in [
        ("reduced variance beats plain slices", "Song et al. 2019", "sliced, VR", "sliced", "error"),
        ("plain slices are worse than the exact trace", "Song et al. 2019", "implicit", "sliced", "error"),
        (
            "plain slices beat denoising at small noise",
            "Song et al. 2019",
            "sliced",
            "denoising 0.01",
            "error",
        ),
        ("denoising: less noise, more variance", "Vincent 2011", "denoising 0.05", "denoising 0.01", "error"),
        ("denoising: much noise, another score", "Vincent 2011", "denoising 0.05", "denoising 0.2", "error"),
        ("the trace costs D derivatives, a slice one", "Song et al. 2019", "sliced, VR", "implicit", _D64),
    ]
]
REMARKS = """
The order is the papers': the exact trace, then slices of reduced variance, then plain slices, all within a
factor of 1.5 here, and denoising far behind. Denoising at 0.05 is wrong by its noise, too, but little: the
modes' score shrinks by 1 / (1 + 0.05^2 / 0.2^2), a relative error of 0.003; the rest of its error is
variance, that at 0.01 nearly all of it. At 0.2 it is the other way around: (1/2)^2 = 0.25 of its error is
the noise's. That is one level at a time with the same budget; NCSN and its successors use denoising at many
levels, where it is the cheapest of all forms and its variance, weighted by sigma^2, does not grow.
"""
REMARKS_OF = "2c2ec2f71dfa"
CAPTION = """
Left: error of the learned score, 1 being as bad as no score at all. Right: what one training step of 64
points costs in 2 and in 64 dimensions. Large points are means, strokes the three seeds; both axes are
logarithmic. To look at: the order of the first four rows and their distance to denoising at a small noise,
and the row whose cost grows with the dimension.
"""


def measure(name, config, variables, seed):
    params = _trained(name, jax.random.key(seed))
    x = _TRUTH.sample(jax.random.key(10_000 + seed), _POINTS)
    truth = _TRUTH.score(x)
    error = jnp.mean((_network(params)(x, jnp.zeros(len(x)), None) - truth) ** 2) / jnp.mean(truth**2)
    return {"error": float(error)} | {f"MFLOP, D = {dim}": _megaflops(name, dim) for dim in _DIMENSIONS}


def _network(params):
    return lambda x, t, cond: _MLP.apply(params, x, t)


def _trained(name, key):
    """Return the average of the trained weights; a key gives all arms one start and the same points."""
    loss, (key_init, key_steps) = _LOSSES[name], jax.random.split(key)
    optimizer = optax.chain(
        optax.clip_by_global_norm(10.0), optax.adam(optax.cosine_decay_schedule(2e-3, _STEPS))
    )

    def step(state, i, keys):
        params, moments, average = state
        key_x, key_loss = jax.random.split(keys[i])
        x = _TRUTH.sample(key_x, _BATCH)
        value, grads = jax.value_and_grad(lambda p: loss(key_loss, _network(p), x).mean())(params)
        updates, moments = optimizer.update(grads, moments)
        params = optax.apply_updates(params, updates)
        average = jax.tree.map(lambda a, p: _DECAY * a + (1 - _DECAY) * p, average, params)
        return (params, moments, average), {"loss": value}

    params = _MLP.init(key_init, jnp.zeros((1, 2)), jnp.zeros(1))
    state = params, optimizer.init(params), jax.tree.map(jnp.copy, params)
    return in_memory.train(step, state, jax.random.split(key_steps, _STEPS), _STEPS, chunk=500)[2]


@cache
def _megaflops(name, dim):
    """Return what the compiler counts for the gradient of one batch of 64."""
    loss, x = _LOSSES[name], jnp.zeros((64, dim))
    params = jax.eval_shape(_MLP.init, jax.random.key(0), x, jnp.zeros(64))
    slope = jax.grad(lambda params, x: loss(jax.random.key(0), _network(params), x).mean())
    return jax.jit(slope).lower(params, x).compile().cost_analysis()["flops"] / 1e6


def figure(path, results):
    titles = {
        "explicit": "explicit: the true score is known",
        "implicit": "implicit: exact trace",
        "sliced": "sliced: one direction",
        "sliced, VR": "sliced, reduced variance",
        **{f"denoising {noise:g}": f"denoising at noise {noise:g}" for noise in _NOISES},
    }
    drawn, axes = drawing.panels(1, 2, 10, 4.2, sharey=True)
    error, cost = axes[0]
    rows = np.arange(len(titles))
    y = drawing.values(results, titles, ["error"])
    drawing.dots(error, rows, y, "error of the score", "C0")
    error.set(xlabel="mean squared error over the score's mean square")
    for i, (metric, title) in enumerate({_D2: "cost in 2 dimensions", _D64: "cost in 64 dimensions"}.items()):
        y = drawing.values(results, titles, [metric])
        drawing.dots(cost, rows + 0.3 * i - 0.15, y, title, f"C{i + 1}", "s^"[i])
    cost.set(xlabel="a training step of 64 points, million operations")
    drawing.log(error, (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5))
    drawing.log(cost, (10, 20, 50, 100, 200, 500))
    drawing.titled_rows(axes[0], list(titles.values()))
    drawing.save(drawn, path, 3, drawing.SEEDS)


if __name__ == "__main__":
    study.main(sys.modules[__name__])
