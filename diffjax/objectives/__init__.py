"""What training minimises: pure losses inside, one thin drawing layer outside."""

from diffjax.objectives import replay as replay
from diffjax.objectives import score_matching as score_matching
from diffjax.objectives import second_moment as second_moment
from diffjax.objectives import weightings as weightings
from diffjax.objectives.bound import bound as bound
from diffjax.objectives.bound import hybrid as hybrid
from diffjax.objectives.bound import step_table as step_table
from diffjax.objectives.contrastive import contrastive_divergence as contrastive_divergence
from diffjax.objectives.denoising import Loss as Loss
from diffjax.objectives.denoising import denoising as denoising
from diffjax.objectives.denoising import draw as draw
from diffjax.objectives.denoising import perturbed_input as perturbed_input
from diffjax.objectives.info_nce import info_nce as info_nce
from diffjax.objectives.info_nce import same_rows as same_rows
from diffjax.objectives.preconditioned import preconditioned as preconditioned
from diffjax.objectives.times import TimeSampler as TimeSampler
from diffjax.objectives.times import log_normal as log_normal
from diffjax.objectives.times import logit_normal as logit_normal
from diffjax.objectives.times import low_discrepancy as low_discrepancy
from diffjax.objectives.times import stateless as stateless
from diffjax.objectives.times import uniform as uniform
from diffjax.objectives.times import uniform_log_snr as uniform_log_snr
from diffjax.objectives.variational import reducing_variance as reducing_variance
from diffjax.objectives.variational import variational as variational
