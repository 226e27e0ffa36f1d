"""Systems of the literature, each composed of the rooms below; `build` makes the one a config names."""

from diffjax.systems import ddpm as ddpm
from diffjax.systems import ebm as ebm
from diffjax.systems import ncsn as ncsn
from diffjax.systems import vdm as vdm
from diffjax.systems.assemble import build as build
from diffjax.systems.assemble import load_data as load_data
from diffjax.systems.assemble import make_ema as make_ema
from diffjax.systems.assemble import make_optimizer as make_optimizer
from diffjax.systems.options import nearest as nearest
