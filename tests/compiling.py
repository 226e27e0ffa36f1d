"""How XLA compiles in the tests.

Thousands of small programs each run once, so compiling them costs more than running them: without LLVM's
optimisation and the emitters of fusions it takes half of the time. `pytest -m slow` compiles as users do, and
so does everything with DIFFJAX_OPTIMISED=1.
"""

import os

OPTIMISED = os.environ.get("DIFFJAX_OPTIMISED", "0") != "0"
FLAGS = "" if OPTIMISED else "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
