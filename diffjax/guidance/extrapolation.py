"""Guidance from one prediction through another: D(away) + s (D(towards) - D(away)).

Its members differ in where the two come from (a null condition, a weaker network) and in how they are mixed.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from diffjax.border import checked
from diffjax.guidance import strength
from diffjax.process.level import NoiseLevel, expand
from diffjax.process.prediction import Denoiser, Prediction, returning_prediction
from diffjax.types import Array

# (away, towards, s, x_t, level) -> Prediction; its variance is not asked for
Mix = Callable[[Prediction, Prediction, Array, Array, NoiseLevel], Prediction]


class Sources(NamedTuple):
    """Where two predictions come from, of which only what is needed is run.

    Attributes:
      check: (cond, batch) -> None, or ValueError.
      away, towards: Denoisers.
      both: (x_t, level, cond) -> (away, towards).
    """

    check: Callable[[Any, int], None]
    away: Denoiser
    towards: Denoiser
    both: Callable[..., tuple[Prediction, Prediction]]


def straight(away: Prediction, towards: Prediction, s: Array, x_t: Array, level: NoiseLevel) -> Prediction:
    """Return away + s (towards - away), for x_0 and eps alike."""
    del x_t, level
    return Prediction(away.x0 + s * (towards.x0 - away.x0), away.eps + s * (towards.eps - away.eps))


@dataclasses.dataclass(frozen=True, eq=False)
class Extrapolation:
    """A Transformation that mixes two predictions; the variance is that of `towards`.

    Attributes:
      sources: Denoiser -> Sources.
      name: what the user calls the strength.
      given: the strength itself.
      offset: s = offset + strength.
      mix: Mix.
      towards_at_one, away_at_zero: whether s = 1 is the one prediction alone, and s = 0 the other; then the
        other is not asked for.
    """

    sources: Callable[[Denoiser], Sources]
    name: str
    given: Any
    offset: float = 0.0
    mix: Mix = straight
    towards_at_one: bool = True
    away_at_zero: bool = True

    @checked
    def __call__(self, denoise: Denoiser) -> Denoiser:
        """Return the guided denoiser."""
        sources = self.sources(returning_prediction(denoise))

        def guided(x_t, level, cond=None):
            s = strength.at(self.name, self.given, level, len(x_t))
            sources.check(cond, len(x_t))
            s = s + self.offset

            def mixed(x_t, level, cond=None):
                away, towards = sources.both(x_t, level, cond)
                return self.mix(away, towards, expand(s, x_t), x_t, level)._replace(variance=towards.variance)

            # one program for both ways only where the level decides, not for every traced strength
            decided = callable(self.given) or not strength.is_traced(s)
            alone = decided and self.towards_at_one and strength.everywhere(s, 1)
            if self.away_at_zero and not callable(self.given) and decided and strength.everywhere(s, 0):
                return sources.away(x_t, level, cond)
            return strength.choose(alone, sources.towards, mixed)(x_t, level, cond)

        return guided
