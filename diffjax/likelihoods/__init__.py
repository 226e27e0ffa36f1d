"""How likely data are: the bounds, exact densities by the ODE and by I-MMSE, and codes as real numbers."""

from diffjax.likelihoods import continuous_elbo as continuous_elbo
from diffjax.likelihoods import dequantisation as dequantisation
from diffjax.likelihoods import elbo as elbo
from diffjax.likelihoods import integrators as integrators
from diffjax.likelihoods import latents as latents
from diffjax.likelihoods import observed as observed
from diffjax.likelihoods.mmse import log_likelihood_mmse as log_likelihood_mmse
from diffjax.likelihoods.ode import likelihood_grid as likelihood_grid
from diffjax.likelihoods.ode import log_likelihood as log_likelihood
