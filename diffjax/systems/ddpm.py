"""Denoising diffusion: one network, one schedule, any parameterization (Ho et al. 2020).

Covers class-conditional and unconditional models of images and points: L_simple with any weighting, the
bound and the hybrid loss with learned variances and importance-sampled times (Nichol & Dhariwal 2021), input
perturbation (Ning et al. 2023), labels dropped for classifier-free guidance (Ho & Salimans 2022).

On a continuous schedule the same system is a score model of Song et al. 2021 (kind "eps" or "score" on
`vp_linear`, `sub_vp`, `ve`), flow matching (kind "velocity" on `rectified_flow`), or EDM (a preconditioning
on `edm`, Karras et al. 2022).
"""

from functools import partial

import jax
import jax.numpy as jnp

from diffjax import guidance, objectives, samplers
from diffjax.objectives import second_moment
from diffjax.process import prediction
from diffjax.process.schedules import Chain
from diffjax.samplers.walk import start_of
from diffjax.training.system import System, from_loss


def ddpm(
    module, schedule, solver, times, *, shape, num_classes=None, kind="eps", preconditioning=None, loss=None,
    draw_times=None, importance=False, input_perturbation=0.0, label_dropout=0.0, guidance_weight=0.0,
    threshold=None,
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
      preconditioning: level -> Scales that the network is inside of, in place of a kind.
      loss: (network, x0, eps, level, cond, level_s=, pair=, x_t=) -> (loss `[B]`, aux), with level_s and pair
        of a chain's own step n -> n - 1 (None on other schedules); default L_simple of the kind, or the
        loss of the preconditioning.
      draw_times: (key, n) -> times of the loss; default uniform.
      importance: draw a chain's times by the second moment of their loss instead; `extra` holds the history.
      input_perturbation: gamma of DDPM-IP; 0 is none.
      label_dropout: probability of training with the null label.
      guidance_weight: w of classifier-free guidance in `sample`; 0 is none.
      threshold: a guidance transformation that keeps x_0 in range, or None.

    Returns:
      A System. `sample(params, extra, frozen, key, cond, n)` takes labels `[n]`, or None for the
      unconditional model (the null label of a conditional one), and one key or `[n]` keys.

    Raises:
      ValueError: if a probability is outside [0, 1], guidance is asked of a model without a null label, or
        importance sampling of a schedule that is no chain.
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
    if (preconditioning or kind in ("eps", "score")) and schedule(times[0]).alpha == 0:
        what = "a preconditioned network" if preconditioning else f"kind {kind!r}"
        raise ValueError(f"{what} says nothing of x_0 at alpha = 0, where the grid starts; use 'v' or 'x0'")
    chain = isinstance(schedule, Chain)
    if importance and not chain:
        raise ValueError("importance sampling of times needs a chain, and the schedule is continuous")
    draw_times = draw_times or objectives.uniform(schedule)
    loss = loss or (preconditioned(preconditioning) if preconditioning else simple(kind))
    rows = samplers.plan(schedule, solver, times)
    table = objectives.step_table(schedule) if chain else None
    null = num_classes

    def init(key):
        cond = None if num_classes is None else jnp.zeros(1, int)
        extra = second_moment.init(schedule.num_steps) if importance else ()
        return module.init(key, jnp.zeros((1, *shape)), jnp.ones(1), cond), extra, ()

    def labels(key, batch):
        if num_classes is None:
            return None
        dropped = jax.random.bernoulli(key, label_dropout, batch["label"].shape)
        return jnp.where(dropped, null, batch["label"])

    def total(params, extra, frozen, key, batch, step):
        key_t, key_eps, key_xi, key_label, key_network = jax.random.split(key, 5)
        x0, n = batch["x"], len(batch["x"])
        t, weight = second_moment.draw(key_t, extra, n) if importance else (draw_times(key_t, n), 1)
        eps, level, x_t = jax.random.normal(key_eps, x0.shape, x0.dtype), schedule(t), None
        if input_perturbation:
            xi = jax.random.normal(key_xi, x0.shape, x0.dtype)
            x_t = objectives.perturbed_input(x0, eps, level, xi, input_perturbation)
        network = partial(module.apply, params, train=True, rngs={"dropout": key_network})
        pair = {"level_s": schedule(t - 1), "pair": table(t)} if chain else {"level_s": None, "pair": None}
        losses, _ = loss(network, x0, eps, level, labels(key_label, batch), x_t=x_t, **pair)
        if importance:
            extra = second_moment.update(extra, t, jax.lax.stop_gradient(losses))
        return (weight * losses).mean(), (extra, {})

    guided = [guidance.classifier_free(weight=guidance_weight, null=null)] if guidance_weight else []
    transform = guidance.chain(*guided, *([threshold] if threshold else []))

    def sample(params, extra, frozen, key, cond, n):
        if num_classes is not None and cond is None:
            if not label_dropout:
                raise ValueError(
                    "cond must be labels [n]: a model trained without label_dropout has no null label"
                )
            cond = jnp.full(n, null)
        denoise = transform(denoiser(module, schedule, kind, preconditioning)(params))
        x = start_of(key, schedule, (n, *shape), times)
        return samplers.walk(key, denoise, solver, rows, x, cond=cond)

    return System(init, from_loss(total), sample)


def denoiser(module, schedule, kind="eps", preconditioning=None):
    """Return params -> Denoiser, the network of `ddpm` without guidance or thresholds.

    Args:
      module, schedule, kind, preconditioning: see `ddpm`.
    """
    if preconditioning:
        return lambda params: prediction.preconditioned(partial(module.apply, params), preconditioning)
    previous = (lambda level: schedule(level.t - 1)) if isinstance(schedule, Chain) else None
    return lambda params: prediction.denoiser(partial(module.apply, params), kind, previous)


def simple(kind, weighting=None):
    """Return the loss `objectives.denoising` in the form that `ddpm` takes."""

    def loss(network, x0, eps, level, cond, *, level_s, pair, x_t):
        return objectives.denoising(
            network, x0, eps, level, cond, kind=kind, weighting=weighting, level_s=level_s, x_t=x_t
        )

    return loss


def preconditioned(preconditioning, weighting=None):
    """Return the loss `objectives.preconditioned` in the form that `ddpm` takes."""

    def loss(network, x0, eps, level, cond, *, level_s, pair, x_t):
        return objectives.preconditioned(
            network, x0, eps, level, cond, preconditioning=preconditioning, weighting=weighting, x_t=x_t
        )

    return loss


def bound(kind, variance, num_steps):
    """Return T `objectives.bound`, whose mean over uniform times is the bound less its prior term."""

    def loss(network, x0, eps, level, cond, **step):
        bits, aux = objectives.bound(network, x0, eps, level, cond, kind=kind, variance=variance, **step)
        return num_steps * bits, aux

    return loss


def hybrid(kind, variance, num_steps, weighting=None, bound_weight=0.001):
    """Return `objectives.hybrid` with the paper's lambda = 0.001 of the bound's sum."""
    return partial(
        objectives.hybrid,
        kind=kind,
        variance=variance,
        weighting=weighting,
        bound_weight=bound_weight * num_steps,
    )
