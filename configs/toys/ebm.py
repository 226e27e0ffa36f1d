"""An energy-based model of points in the plane: a ring of eight Gaussians of unequal weights.

Persistent contrastive divergence (Tieleman 2008; Du & Mordatch 2019, arXiv:1903.08689): Langevin chains of
20 steps that go on from a replay buffer of 10,000. Steps have the noise that their size asks for, so the
energy is that of the density exp(-E) / Z, and `diffjax.evaluation.quadrature` gives its Z. All chains go
on ("share" 1, the papers' is 0.95): those that restart in noise reach the modes in the wrong proportions
and cannot cross over later, which the energy then makes up for. Samples of `sample`, too, start in noise:
the energy knows the weights of the modes better than they do.

    python -m diffjax.train --config=configs/toys/ebm.py --workdir=runs/ring8_ebm
    python -m diffjax.sample --workdir=runs/ring8_ebm --num=2000

Any other set of points by its name: `--config=configs/toys/ebm.py:moons`. `objective.starts` may also be
"data" (contrastive divergence of k steps) or "afresh"; on the command line a dict in quotes,
`--config.objective.starts="{'name': 'data'}"`. `--config.objective="{'loss': ...}"` trains the same
network by score matching: {'name': 'denoising', 'sigma': 0.05}, 'sliced' or 'implicit'.

About a minute of one core. Obtained: KL divergence from the data to exp(-E) / Z 0.041 nats, Z by quadrature
over [-3, 3]^2; the weights of its modes are off by a total variation of 0.08, those of 5,040 samples by 0.16.
"""

from ml_collections import ConfigDict

from diffjax.configs.toys import common


def get_config(name: str = "ring8") -> ConfigDict:
    config = common.config("ebm", name)
    config.model = common.mlp(width=64, frequencies=2, out_features=1)
    config.objective = ConfigDict(
        {
            "starts": ConfigDict({"name": "persistent", "size": 10_000, "share": 1.0}),
            "start": (-2.0, 2.0),
            "steps": 20,
            "step_size": 2e-3,
            "regularization": 1e-3,
        }
    )
    config.sampler = ConfigDict({"steps": 1000, "step_size": 2e-3})
    config.optimizer.learning_rate = 1e-3
    config.training.update({"batch_size": 256, "checkpoint_every": 5000})
    return config
