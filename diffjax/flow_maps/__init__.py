"""Flow maps, (x_t, level_t, level_s, cond) -> x_s: where the probability-flow ODE goes, in a call or few."""

from diffjax.flow_maps.consistency import consistency as consistency
from diffjax.flow_maps.exact import exact_gaussian as exact_gaussian
from diffjax.flow_maps.mean_flow import mean_flow as mean_flow
from diffjax.flow_maps.of_denoiser import of_denoiser as of_denoiser
from diffjax.process.flow_map import FlowMap as FlowMap
