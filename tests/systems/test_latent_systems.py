"""Every kind of diffusion in the latents of a table of vectors: it builds, and all that it does traces."""

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from diffjax import systems
from diffjax.training.system import Variables

PIXELS, LATENTS, ROWS = (8, 8, 3), (4, 4, 2), 4
VQ = {"name": "vq", "channels": (4, 4), "num_res_blocks": 1, "num_groups": 2, "latent_channels": 2,
      "middle_attention": False, "codes": 5}  # fmt: skip
DATA = {"name": "npz", "path": "x.npz", "images": "image", "labels": None, "shape": PIXELS}
MLP = {"name": "mlp", "width": 8, "depth": 1}
DIT = {"name": "dit", "patch_size": 2, "hidden_size": 8, "depth": 1, "num_heads": 2}
DDIM = {"solver": "ddim", "steps": 2}
FLOW = {
    "schedule": {"name": "rectified_flow"}, "objective": {"kind": "velocity"},
    "sampler": {"solver": "heun", "steps": 2},
}  # fmt: skip
INNER = {
    "edm": {
        "latents": {"system": "ddpm"}, "schedule": {"name": "edm"}, "model": DIT,
        "objective": {"preconditioning": {"name": "edm"}, "times": {"name": "log_normal"}},
        "sampler": {"solver": "edm_heun", "steps": 2, "grid": "karras"},
    },
    "flow": {"latents": {"system": "ddpm"}, "model": MLP, **FLOW},
    "vp": {
        "latents": {"system": "ddpm"}, "schedule": {"name": "vp_linear"}, "model": MLP,
        "objective": {"kind": "eps", "times": "uniform"}, "sampler": DDIM,
    },
    "vdm": {
        "latents": {"system": "vdm"}, "schedule": {"name": "learned", "width": 8}, "model": MLP,
        "objective": {"kind": "eps"}, "sampler": {"solver": "ancestral", "steps": 2},
    },
    "mean_flow": {
        "latents": {"system": "mean_flow"}, "schedule": {"name": "rectified_flow"},
        "model": {**MLP, "times": 2}, "objective": {"improved": True}, "sampler": {"steps": 1},
    },
    "low_resolution": {
        "latents": {"system": "ddpm"}, "model": {**MLP, "map_channels": 3}, **FLOW,
        "conditions": {"image": {"encoder": "low_resolution", "size": 2, "augmentation": 0.5}},
    },
    "blurred": {
        "latents": {"system": "ddpm"}, "model": {**MLP, "map_channels": 3}, **FLOW,
        "conditions": {"image": {"encoder": "blurred", "width": 1.0}},
    },
}  # fmt: skip


@pytest.fixture
def first(tmp_path):
    """The folder of a run that is begun and no more."""
    own = {"system": "autoencoder", "data": DATA, "model": VQ, "objective": {"discriminator": None}}
    (tmp_path / "config.json").write_text(ConfigDict(own).to_json())
    return tmp_path


DAILY = ("mean_flow", "low_resolution")


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=[] if each in DAILY else [pytest.mark.slow]) for each in INNER]
)
def test_it_builds_and_every_part_traces(name, first):
    system = systems.build(
        ConfigDict({"system": "latent", "data": DATA, "first_stage": {"workdir": str(first)}, **INNER[name]})
    )
    assert [each.name for each in system.passes][-1] == "decode" and system.gives == "images"
    row = lambda a: jax.ShapeDtypeStruct((ROWS, *a.shape[1:]), a.dtype)
    rows, key = jax.tree.map(row, system.example), jax.random.key(0)
    assert rows["x"].shape == (ROWS, *PIXELS)
    params, extra = jax.eval_shape(system.init, key, rows, system.frozen)
    v = Variables(params, extra, system.frozen)
    assert system.codec(v).shape == LATENTS
    for update in system.updates:
        found, after, metrics = jax.eval_shape(update.gradients, v, key, rows, jnp.int32(0))
        assert set(found) == set(update.moves) <= set(params) and metrics["loss"].shape == ()
        assert jax.tree.structure(after) == jax.tree.structure(extra)
    asked = jax.eval_shape(system.request.of_batch, v, key, rows)
    assert set(asked) == set(system.request.parts) and ("image" in asked) == ("conditions" in INNER[name])
    samples = jax.eval_shape(lambda v, asked: system.sample(v, key, asked, ROWS), v, asked)
    assert samples.shape == (ROWS, *PIXELS)
    for each, measure in system.measures.items():
        told = jax.eval_shape(measure, v, key, rows)
        assert each.startswith("latent") and "bits_per_dim" not in told
