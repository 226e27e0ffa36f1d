"""Several conditions at once, each with a strength of its own."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from diffjax.border import checked
from diffjax.guidance import conditions, strength
from diffjax.guidance.chain import Transformation
from diffjax.guidance.strength import Strength
from diffjax.process.level import expand
from diffjax.process.prediction import Denoiser, Prediction, returning_prediction


@checked
def compose_conditions(scales: Sequence[Strength], *, null: Any) -> Transformation:
    """Compose conditions: D = D(null) + sum_i s_i (D(cond_i) - D(null)) (Liu et al. 2022).

    The score of p(x) prod_i (p(x | c_i) / p(x))^s_i at each level; not its samples' law, as for
    `classifier_free`, which is the case of one condition. A negative scale steers away from a condition.

    All predictions are one batched network call: those whose coefficient (1 - sum s_i for the null) is a
    number 0 are left out. The variance is that of the first condition asked for.

    Args:
      scales: one for each condition: a number, `[B]`, or a function of the noise level.
      null: the condition that means "none", see `classifier_free`.

    Returns:
      A Transformation whose `cond` is a sequence of conditions, as many as scales.

    Raises:
      ValueError: for no scales, or (when called) another number of conditions, or one of another structure
        than `null`.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, guidance
      >>> from diffjax.process import schedules
      >>> two = exact.gaussian_mixture([1.0, 1.0], [[-1.0], [1.0]], [0.0, 0.0])
      >>> composed = guidance.compose_conditions([2.0, -0.5], null=-1)(two.denoiser())
      >>> x0 = composed(jnp.zeros((1, 1)), schedules.edm()(1.0), [jnp.array([1]), jnp.array([0])]).x0
      >>> x0.tolist()  # 0 + 2 (1 - 0) - 0.5 (-1 - 0)
      [[2.5]]
    """
    scales = tuple(scales)
    if not scales:
        raise ValueError("scales must be one for each condition, got none")
    for i, each in enumerate(scales):
        strength.check(f"scales[{i}]", each)

    @checked
    def transform(denoise: Denoiser) -> Denoiser:
        denoise = returning_prediction(denoise)

        def composed(x_t, level, cond=None):
            if not isinstance(cond, list | tuple) or len(cond) != len(scales):
                given = len(cond) if isinstance(cond, list | tuple) else type(cond).__name__
                told = f"a sequence of {len(scales)} conditions, one for each of scales"
                raise ValueError(f"cond must be {told}; got {given}")
            for each in cond:
                conditions.check(null, each, len(x_t))
            s = [strength.at(f"scales[{i}]", each, level, len(x_t)) for i, each in enumerate(scales)]
            coefficients = [*s, 1 - sum(s)]
            asked = [i for i, each in enumerate(coefficients) if not _absent(each)]
            conds = [*cond, conditions.like(null, cond[0])]
            found = conditions.each(denoise, x_t, level, [conds[i] for i in asked])
            terms = [(expand(coefficients[i], x_t), each) for i, each in zip(asked, found)]
            x0, eps = (sum(c * getattr(each, name) for c, each in terms) for name in ("x0", "eps"))
            return Prediction(x0, eps, found[0].variance)

        return composed

    return transform


def _absent(coefficient):
    return not strength.is_traced(coefficient) and bool(np.all(coefficient == 0))
