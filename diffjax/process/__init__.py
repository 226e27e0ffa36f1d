"""The mathematics of noise: levels, schedules, Gaussians, predictions."""

import importlib
from types import ModuleType

from diffjax.process import annealing as annealing
from diffjax.process import energy as energy
from diffjax.process import forward as forward
from diffjax.process import gaussian as gaussian
from diffjax.process import learned as learned
from diffjax.process import preconditioning as preconditioning
from diffjax.process import prediction as prediction
from diffjax.process import schedules as schedules
from diffjax.process import sde as sde
from diffjax.process.gaussian import Gaussian as Gaussian
from diffjax.process.level import NoiseLevel as NoiseLevel
from diffjax.process.level import Schedule as Schedule
from diffjax.process.prediction import Denoiser as Denoiser
from diffjax.process.prediction import Network as Network
from diffjax.process.prediction import Prediction as Prediction
from diffjax.process.prediction import Reading as Reading


def __getattr__(name: str) -> ModuleType:
    if name in ("elbo", "continuous_elbo"):  # the bounds live among the likelihoods, above this room
        return importlib.import_module(f"diffjax.likelihoods.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
