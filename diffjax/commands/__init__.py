"""What the commands share: how they begin and end, runs read back, samples made pass by pass."""

from diffjax.commands.devices import use_every_core as use_every_core
from diffjax.commands.entry import config_module as config_module
from diffjax.commands.entry import define_config_flag as define_config_flag
from diffjax.commands.entry import define_run_flags as define_run_flags
from diffjax.commands.entry import run as run
from diffjax.commands.loading import Loaded as Loaded
from diffjax.commands.loading import load as load
from diffjax.commands.loading import load_config as load_config
from diffjax.commands.loading import overridden as overridden
from diffjax.commands.sampling import Samples as Samples
from diffjax.commands.sampling import forget as forget
from diffjax.commands.sampling import sample_in_batches as sample_in_batches
