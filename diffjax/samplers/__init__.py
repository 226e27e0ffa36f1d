"""Solvers, time grids, and the one loop."""

from diffjax.samplers import grids as grids
from diffjax.samplers.ald import ald as ald
from diffjax.samplers.ancestral import ancestral as ancestral
from diffjax.samplers.annealed_langevin import annealed_langevin as annealed_langevin
from diffjax.samplers.ddim import ddim as ddim
from diffjax.samplers.dpm_solver_pp import dpm_solver_pp as dpm_solver_pp
from diffjax.samplers.edm_heun import edm_heun as edm_heun
from diffjax.samplers.euler import euler as euler
from diffjax.samplers.euler_maruyama import euler_maruyama as euler_maruyama
from diffjax.samplers.heun import heun as heun
from diffjax.samplers.langevin import langevin as langevin
from diffjax.samplers.predictor_corrector import predictor_corrector as predictor_corrector
from diffjax.samplers.reverse_diffusion import reverse_diffusion as reverse_diffusion
from diffjax.samplers.short_run import short_run as short_run
from diffjax.samplers.solver import Rows as Rows
from diffjax.samplers.solver import Solver as Solver
from diffjax.samplers.solver import plan as plan
from diffjax.samplers.walk import encode as encode
from diffjax.samplers.walk import sample as sample
from diffjax.samplers.walk import sample_segments as sample_segments
from diffjax.samplers.walk import start as start
from diffjax.samplers.walk import walk as walk
