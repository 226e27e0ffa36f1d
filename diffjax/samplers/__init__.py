"""Solvers, time grids, and the one loop."""

from diffjax.samplers import grids as grids
from diffjax.samplers.ancestral import ancestral as ancestral
from diffjax.samplers.ddim import ddim as ddim
from diffjax.samplers.dpm_solver_pp import dpm_solver_pp as dpm_solver_pp
from diffjax.samplers.edm_heun import edm_heun as edm_heun
from diffjax.samplers.euler import euler as euler
from diffjax.samplers.heun import heun as heun
from diffjax.samplers.short_run import short_run as short_run
from diffjax.samplers.solver import Rows as Rows
from diffjax.samplers.solver import Solver as Solver
from diffjax.samplers.solver import plan as plan
from diffjax.samplers.walk import encode as encode
from diffjax.samplers.walk import sample as sample
from diffjax.samplers.walk import sample_segments as sample_segments
from diffjax.samplers.walk import start as start
from diffjax.samplers.walk import walk as walk
