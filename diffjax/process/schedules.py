"""Noise schedules: frozen callables `schedule(t) -> NoiseLevel`.

Every one is a `Schedule`: what may be asked of a chain may be asked of a schedule in continuous time, and
`num_steps` says which it is. numpy times give float64 numpy levels; a jax array or tracer gives jnp levels.
"""

from diffjax.process.chains import Chain as Chain
from diffjax.process.chains import cosine_beta as cosine_beta
from diffjax.process.chains import from_betas as from_betas
from diffjax.process.chains import geometric as geometric
from diffjax.process.chains import linear_beta as linear_beta
from diffjax.process.chains import scaled_linear as scaled_linear
from diffjax.process.chains import sigmoid_beta as sigmoid_beta
from diffjax.process.chains import zero_terminal_snr as zero_terminal_snr
from diffjax.process.continuous import Continuous as Continuous
from diffjax.process.continuous import edm as edm
from diffjax.process.continuous import log_snr_linear as log_snr_linear
from diffjax.process.continuous import rectified_flow as rectified_flow
from diffjax.process.continuous import shifted as shifted
from diffjax.process.continuous import ve as ve
from diffjax.process.continuous import vp_cosine as vp_cosine
from diffjax.process.learned import learned as learned
from diffjax.process.level import Schedule as Schedule
from diffjax.process.linear_rate import sub_vp as sub_vp
from diffjax.process.linear_rate import vp_linear as vp_linear
