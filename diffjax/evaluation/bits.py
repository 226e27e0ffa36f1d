"""Bits per dimension of held-out images: every code length that a system has, averaged, with its parts.

A system's measures that give "bits_per_dim" are its own: the bound of a chain, term by term, or that of a
VDM. Where there is none, but a denoiser on a continuous schedule, it is the likelihood by the ODE.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from diffjax.data import Source
from diffjax.evaluation import batches, figures, likelihood
from diffjax.evaluation.dequantiser import DEQUANTISATIONS
from diffjax.evaluation.evaluator import OfData, Task
from diffjax.evaluation.held_out import that_give
from diffjax.rows import spread
from diffjax.types import Array, Float

BITS = "bits_per_dim"
_Measure = Callable[[Any, jax.Array, Mapping[str, Any]], Mapping[str, jax.Array]]


def average(bits: Float[Array, " n"]) -> dict[str, Any]:
    """Return "count", the mean "bits_per_dim" and its "standard_error" of one number an image, [N]."""
    return {"count": len(bits), BITS: float(bits.mean()), "standard_error": float(_error(bits))}


def measure_bits(measure: _Measure, variables: Any, source: Source, **options: Any) -> dict[str, Any]:
    """Average a measure that gives "bits_per_dim", with its parts.

    Args:
      measure, variables, source: see `batches.per_example`; uint8 images, N at least 2.
      **options: of `batches.per_example`.

    Returns:
      "count" N; "bits_per_dim" and its "standard_error" over the images; what the measure says of itself,
      `measure.how`; and the means of its other numbers, lists where they are more than one. Of a bound with
      "terms" [T] also "terms_error", their standard errors, "decoder" (n = 1, -log p(x_0 | x_1)) and
      "between" (the other terms).

    Raises:
      ValueError: if the images are not uint8 or fewer than 2.
    """
    _require_pixels(source)
    every = batches.per_example(measure, variables, source, **options)
    every = {name: np.asarray(value, np.float64) for name, value in every.items()}
    found = {**average(every.pop(BITS)), **getattr(measure, "how", {})}
    found |= {name: value.mean(0).tolist() for name, value in every.items()}
    if "terms" in found:
        found["terms_error"] = _error(every["terms"]).tolist()
        found |= {"decoder": found["terms"][0], "between": float(sum(found["terms"][1:]))}
    return found


def _error(values):
    return values.std(axis=0, ddof=1) / np.sqrt(len(values))


def _require_pixels(source):
    if source.x.dtype != np.uint8 or len(source) < 2:
        raise ValueError(
            "images must be at least 2 of uint8, whose 256 values are counted; got "
            f"{len(source)} of {source.x.dtype}"
        )


def _prepare(task: Task):
    """Return () -> {what was measured: its result}, or None where no bits are asked for."""
    settings, system = task.settings, task.system
    count, held_out = settings["bound_images"], task.held_out
    if not count:
        return None
    if held_out.x.dtype != np.uint8:
        raise ValueError(f"bound_images needs images of 8 bits, but {held_out.name} is {held_out.x.dtype}")
    if not 2 <= count <= len(held_out):
        raise ValueError(
            f"bound_images must be 2 or more of the held-out images, of which there are {len(held_out)}, or "
            f"0 for none; got {count}"
        )
    chosen = held_out.take(spread(count, len(held_out)))
    np.asarray(chosen.x)  # a file that cannot be read is told of before the work
    own = that_give(system, task.variables, chosen, {BITS})
    _check_variance(settings, own)
    options = {"batch_size": settings["batch_size"], "progress": "bits/dim" if task.progress else None}
    options["key"] = jax.random.key(task.seed)
    if own:
        if settings["dequantisation"] != "uniform":
            raise ValueError(
                "evaluation.dequantisation is of the likelihood of a continuous schedule by its ODE"
            )
        measured = {name: partial(measure_bits, each, task.variables, chosen) for name, each in own.items()}
        return lambda: {_key(name, found): found for name, found in _called(measured, options)}
    if not likelihood.possible(system, task.variables):
        raise ValueError(
            "bound_images needs a system that measures bits per dimension, or has a denoiser on a continuous "
            "noise schedule; this one has neither"
        )

    def by_the_ode():
        fit = DEQUANTISATIONS[settings["dequantisation"]]
        law = fit(
            system, task.variables, task.train, key=jax.random.key(task.seed + 1),
            progress="dequantiser" if task.progress else None,
        )  # fmt: skip
        measure = likelihood.measure(system, task.variables, law)
        return {"likelihood": measure_bits(measure, (task.variables, law.params), chosen, **options)}

    return by_the_ode


def _check_variance(settings, own):
    asked = settings.get("bound_variance")
    if asked and not any("variance" in getattr(measure, "how", {}) for measure in own.values()):
        raise ValueError(
            "evaluation.bound_variance is of the bound of a chain, which this system does not have"
        )


def _called(measured, options):
    return ((name, run(**options)) for name, run in measured.items())


def _key(name, found):
    return "continuous_bound" if name == "bound" and "diffusion" in found else name


def table(title: str, rows: Mapping[str, str], about: str) -> str:
    """Write rows of bits per dimension as Markdown, and a sentence below."""
    lines = [
        f"| {title} | bits/dim |",
        "|---|---:|",
        *(f"| {name} | {value} |" for name, value in rows.items()),
    ]
    return "\n".join(lines) + f"\n\n{about}\n"


def bound_table(bound: Mapping[str, Any]) -> str:
    """Write the bound of a chain, see `measure_bits`, as a Markdown table in bits per dimension."""
    steps = len(bound["terms"])
    variance = f", variance {bound['variance']}" if "variance" in bound else ""
    rows = {
        "prior, KL(q(x_T given x_0), p(x_T))": f"{bound['prior']:.5f}",
        f"{steps - 1:,} transitions, n = 2..{steps:,}": f"{bound['between']:.3f}",
        "decoder, -log p(x_0 given x_1)": f"{bound['decoder']:.3f}",
        "bound on -log p(x_0)": _with_error(bound),
    }
    title = f"{bound['count']:,} held-out images{variance}"
    return table(title, rows, "One draw of noise a step and image; ± is the standard error of the mean.")


def continuous_bound_table(bound: Mapping[str, Any]) -> str:
    """Write the bound of a continuous schedule as a Markdown table in bits per dimension."""
    steps = f"in {bound['num_steps']:,} steps" if bound.get("num_steps") else "in continuous time"
    rows = {
        "prior, KL(q(z_1 given x), p(z_1))": f"{bound['prior']:.5f}",
        f"diffusion, {steps}": f"{bound['diffusion']:.3f}",
        "reconstruction, -log p(x given z_0)": f"{bound['reconstruction']:.3f}",
        "bound on -log p(x)": _with_error(bound),
    }
    draws = f"{bound['draws']} draws of time and noise an image; " if "draws" in bound else ""
    about = f"{draws}± is the standard error of the mean."
    return table(f"{bound['count']:,} held-out images", rows, about)


def likelihood_text(found: Mapping[str, Any]) -> str:
    """Write the likelihood by the ODE as a sentence."""
    return (
        f"{_with_error(found)} bits/dim of {found['count']:,} held-out images by the probability-flow ODE, "
        f"with {found['dequantisation']} dequantisation: {found['steps']} Runge-Kutta steps, "
        f"{found['probes']} random direction(s) of the divergence an image; ± is the standard error of the "
        "mean.\n"
    )


def _of_another_kind(name: str, found: Mapping[str, Any]) -> str:
    """Write a code length that has no page of its own: its parts in the order they came."""
    parts = {each: f"{value:.3f}" for each, value in found.items() if isinstance(value, float)}
    parts = {each: text for each, text in parts.items() if each not in (BITS, "standard_error")}
    title = f"{found['count']:,} held-out images"
    return table(title, parts | {name: _with_error(found)}, "± is the standard error of the mean.")


def _with_error(found):
    if found[BITS] is None:
        return "not finite"
    error = found["standard_error"]
    return f"{found[BITS]:.3f}" + ("" if error is None else f" ± {error:.3f}")


def _text(name, found):
    if "dequantisation" in found:
        return likelihood_text(found)
    if "terms" in found:
        return bound_table(found)
    return continuous_bound_table(found) if "diffusion" in found else _of_another_kind(name, found)


def _pages(result: Mapping[str, Any]) -> Iterator[str]:
    for name, found in result.items():
        if isinstance(found, Mapping) and BITS in found:
            yield "## Bits per dimension"
            yield _text(name, found).rstrip()
            if "terms" in found:
                yield "![terms of the bound](evaluation/bound.png)"
                yield (
                    "Left: what each step of the chain costs, from the decoder (n = 1, next to the data) to "
                    "pure noise. Right: what the steps from n on add up to; at n = 1 it is the bound. The "
                    "band is two standard errors over the images."
                )


def _draw(folder: Path, result: Mapping[str, Any]) -> None:
    for found in result.values():
        if isinstance(found, Mapping) and BITS in found and "terms" in found:
            figures.bound_terms(folder / "bound.png", {"held-out images": found})


EVALUATOR = OfData("bits", _prepare, _pages, _draw)
