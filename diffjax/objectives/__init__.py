"""What training minimises: pure losses inside, one thin drawing layer outside."""

from diffjax.objectives import weightings as weightings
from diffjax.objectives.denoising import denoising as denoising
from diffjax.objectives.denoising import draw as draw
from diffjax.objectives.denoising import log_normal as log_normal
from diffjax.objectives.denoising import logit_normal as logit_normal
from diffjax.objectives.denoising import uniform as uniform
