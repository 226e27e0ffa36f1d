"""Denoising diffusion: one network, one schedule, any parameterization (Ho et al. 2020).

Covers class-conditional and unconditional models of images and points, trained on L_simple with any
weighting, with labels dropped for classifier-free guidance (Ho & Salimans 2022).
"""

from functools import partial

import jax
import jax.numpy as jnp

from diffjax import guidance, objectives, samplers
from diffjax.process import prediction
from diffjax.training.system import System, from_loss


def ddpm(
    module, schedule, solver, times, *, shape, num_classes=None, kind="eps", weighting=None, draw_times=None,
    label_dropout=0.0, guidance_weight=0.0, threshold=None,
):  # fmt: skip
    """Make the system.

    Args:
      module: network `(x, t, cond) -> output`; a conditional one has `num_classes` labels, and one more, the
        null label, if labels are dropped.
      schedule: any schedule.
      solver: Solver of `sample`.
      times: its time grid.
      shape: of one example, e.g. (H, W, C).
      num_classes: None for an unconditional model, which ignores the batch's labels.
      kind: what the network predicts, one of `prediction.KINDS`; "mean" is that of the chain's own steps.
      weighting: of the loss, see `objectives.weightings`; None is L_simple of the kind.
      draw_times: (key, n) -> times of the loss; default uniform.
      label_dropout: probability of training with the null label.
      guidance_weight: w of classifier-free guidance in `sample`; 0 is none.
      threshold: a guidance transformation that keeps x_0 in range, or None.

    Returns:
      A System. `sample(params, extra, frozen, key, cond, n)` takes labels `[n]`, or None for the
      unconditional model (the null label of a conditional one), and one key or `[n]` keys.

    Raises:
      ValueError: if a probability is outside [0, 1], or guidance is asked of a model without a null label.
    """
    if not 0 <= label_dropout <= 1:
        raise ValueError(f"label_dropout must be in [0, 1], got {label_dropout}")
    if guidance_weight and (num_classes is None or not label_dropout):
        raise ValueError(
            f"guidance_weight needs a class-conditional model trained with label_dropout > 0, "
            f"got {guidance_weight} for num_classes={num_classes}, label_dropout={label_dropout}"
        )
    if kind not in prediction.KINDS:
        raise ValueError(f"kind must be one of {', '.join(prediction.KINDS)}; got {kind!r}")
    draw_times = draw_times or objectives.uniform(schedule)
    rows = samplers.plan(schedule, solver, times)
    null = num_classes

    def previous(level):
        return schedule(level.t - 1) if kind == "mean" else None

    def init(key):
        cond = None if num_classes is None else jnp.zeros(1, int)
        return module.init(key, jnp.zeros((1, *shape)), jnp.ones(1), cond), (), ()

    def loss(params, extra, frozen, key, batch, step):
        key_draw, key_label, key_network = jax.random.split(key, 3)
        x0, cond = batch["x"], None
        if num_classes is not None:
            dropped = jax.random.bernoulli(key_label, label_dropout, batch["label"].shape)
            cond = jnp.where(dropped, null, batch["label"])
        eps, level = objectives.draw(key_draw, x0, schedule, draw_times)
        network = partial(module.apply, params, train=True, rngs={"dropout": key_network})
        losses, _ = objectives.denoising(
            network, x0, eps, level, cond, kind=kind, weighting=weighting, level_s=previous(level)
        )
        return losses.mean(), (extra, {})

    guided = [guidance.classifier_free(weight=guidance_weight, null=null)] if guidance_weight else []
    transform = guidance.chain(*guided, *([threshold] if threshold else []))

    def sample(params, extra, frozen, key, cond, n):
        if num_classes is not None and cond is None:
            cond = jnp.full(n, null)
        denoise = transform(prediction.denoiser(partial(module.apply, params), kind, previous))
        x = samplers.start(key, schedule, (n, *shape))
        return samplers.walk(key, denoise, solver, rows, x, cond=cond)

    return System(init, from_loss(loss), sample)
