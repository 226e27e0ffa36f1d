"""Training of any `System`: state, sharding, step, loop, checkpoints, moving averages, metrics."""

from diffjax.training import checkpoints as checkpoints
from diffjax.training import ema as ema
from diffjax.training import metrics as metrics
from diffjax.training import optimizer as optimizer
from diffjax.training import sharding as sharding
from diffjax.training import step as step
from diffjax.training import workdir as workdir
from diffjax.training.checkpoints import latest_step as latest_step
from diffjax.training.checkpoints import restore_params as restore_params
from diffjax.training.loop import Batches as Batches
from diffjax.training.loop import fit as fit
from diffjax.training.state import TrainState as TrainState
from diffjax.training.state import create as create
from diffjax.training.system import Codec as Codec
from diffjax.training.system import Conditioning as Conditioning
from diffjax.training.system import Part as Part
from diffjax.training.system import Pass as Pass
from diffjax.training.system import System as System
from diffjax.training.system import Update as Update
from diffjax.training.system import Variables as Variables
from diffjax.training.system import from_loss as from_loss
