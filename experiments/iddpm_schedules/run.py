"""Schedules and objectives (Improved DDPM, tables 1 and 2 and figures 3 and 4)

Nichol & Dhariwal 2021 (arXiv:2102.09672), on the 8x8 digits instead of CIFAR-10 and ImageNet 64: linear
against cosine betas, and L_simple (fixed variance), L_hybrid and L_vlb (learned variances; L_vlb draws its
times by their second moments). An MLP of 3 x 256 units, T = 1000, 6,000 steps of 128 images.

"bits/dim" is the bound on the 360 held-out digits, for L_simple with the better of the two fixed variances
("small" and "large" each beside it). "fd" is the Frechet distance of 1,437 ancestral samples of 1000 steps,
"fd 100" of 100 steps, to the training set in the features of a small classifier; its floor, between halves of
the training set, is in the arm "data", which measures the held-out digits. "fd skip k" leaves out the first k
of the 100 steps and starts the others from pure noise: as long as the distance stays flat, those steps
were wasted (figure 4).

    python -m experiments.iddpm_schedules.run --out=runs/iddpm_schedules
"""

import sys

import numpy as np
from matplotlib.figure import Figure

from diffjax import samplers
from diffjax.systems import assemble
from experiments import digits, study

_SKIP = (0, 10, 20, 30, 40)


def _arm(schedule, loss):
    learned = {"loss": loss, "variance": "learned_range"} if loss != "simple" else {}
    times = {"times": "second_moment"} if loss == "bound" else {}
    variance = "learned_range" if learned else "fixed_large"
    return digits.config(
        schedule={"name": schedule},
        model={"out_features": 2} if learned else {},
        objective_={"kind": "eps"} | learned | times,
        sampler_={"solver": "ancestral", "variance": variance, "steps": 1000},
    )


ARMS = {
    f"{schedule}, {title}": _arm(f"{schedule}_beta", loss)
    for schedule in ("linear", "cosine")
    for title, loss in (("simple", "simple"), ("hybrid", "hybrid"), ("vlb", "bound"))
} | {"data": None}


def _claims():
    for schedule in ("linear", "cosine"):
        simple, hybrid, vlb = (f"{schedule}, {loss}" for loss in ("simple", "hybrid", "vlb"))
        paper = {"linear": ("3.73 > 3.26", "2.94 < 3.26"), "cosine": ("3.54 > 3.17", "2.94 < 3.17")}[schedule]
        yield study.Claim(
            f"{schedule}: hybrid has fewer bits/dim than simple",
            paper[0],
            (hybrid, "bits/dim"),
            (simple, "bits/dim"),
        )
        yield study.Claim(
            f"{schedule}: vlb has fewer bits/dim than hybrid",
            paper[1],
            (vlb, "bits/dim"),
            (hybrid, "bits/dim"),
        )
        yield study.Claim(f"{schedule}: hybrid samples beat vlb's", "FID lower", (hybrid, "fd"), (vlb, "fd"))
    for loss in ("simple", "hybrid"):
        yield study.Claim(
            f"{loss}: cosine samples beat linear's",
            "FID lower",
            (f"cosine, {loss}", "fd"),
            (f"linear, {loss}", "fd"),
        )
        yield study.Claim(
            f"{loss}: skipping 20 % costs cosine more than linear",
            "figure 4",
            (f"linear, {loss}", "loss of skip 20"),
            (f"cosine, {loss}", "loss of skip 20"),
        )


CLAIMS = list(_claims())


def measure(name, config, params, seed):
    if config is None:
        return digits.held_out(seed)
    noise = assemble.schedule(config)
    learned = "loss" in config.objective
    variances = ["learned_range"] if learned else ["fixed_small", "fixed_large"]
    bits = {each: digits.bits_per_dim(config, params, each, seed) for each in variances}
    found = {"bits/dim": min(bits.values())}
    found |= {} if learned else {f"bits/dim {each[6:]}": value for each, value in bits.items()}
    found["fd"] = digits.distance(digits.samples(config, params, seed))
    grid = samplers.grids.spaced(noise.num_steps, str(100))
    for skip in _SKIP:
        x = digits.samples(config, params, seed, times=grid[skip:])
        found["fd 100" if skip == 0 else f"fd skip {skip}"] = digits.distance(x)
    found["loss of skip 20"] = found["fd skip 20"] / found["fd 100"]
    return found


def figure(path, results):
    drawing = Figure(figsize=(11, 4))
    bits, skips = drawing.subplots(1, 2)
    arms = [arm for arm in results if arm != "data"]
    values = np.array([[seed["bits/dim"] for seed in results[arm]] for arm in arms])
    bits.barh(arms, values.mean(1), xerr=values.std(1), color="C0", alpha=0.7)
    bits.set(xlabel="bits/dim on held-out digits")
    bits.invert_yaxis()
    keys = ["fd 100", *(f"fd skip {skip}" for skip in _SKIP[1:])]
    for arm in arms:
        curve = np.array([[seed[key] for key in keys] for seed in results[arm]])
        style = "-" if arm.startswith("linear") else "--"
        skips.errorbar(_SKIP, curve.mean(0), curve.std(0), label=arm, linestyle=style, capsize=2)
    skips.set(xlabel="% of the reverse process left out", ylabel="Fréchet distance", yscale="log")
    skips.legend(frameon=False, fontsize=8)
    drawing.tight_layout()
    drawing.savefig(path, dpi=110)


if __name__ == "__main__":
    study.main(sys.modules[__name__])
