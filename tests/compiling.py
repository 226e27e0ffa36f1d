"""How XLA compiles in the tests.

Thousands of small programs each run once, so compiling them costs more than running them: without LLVM's
optimisation and the emitters of fusions it takes half of the time, and of that two thirds where a program is
compiled in one part and its operations do not say where in Python they are from. `pytest -m slow` compiles
as users do, and so does everything with DIFFJAX_OPTIMISED=1.
"""

import os

OPTIMISED = os.environ.get("DIFFJAX_OPTIMISED", "0") != "0"
_QUICK = (
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)
FLAGS = "" if OPTIMISED else " ".join(_QUICK)
LOCATIONS = "10" if OPTIMISED else "0"  # lines of a traceback that an operation keeps; 10 is JAX's own
