"""Eight virtual devices and a persistent compilation cache for every test.

DIFFJAX_TYPECHECK=1 checks every annotation of diffjax at run time besides (`make test` does so for some
files, `make typed` for all).
"""

import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
import compiling

os.environ["XLA_FLAGS"] = " ".join(
    (os.environ.get("XLA_FLAGS", ""), compiling.FLAGS, "--xla_force_host_platform_device_count=8")
)

import jax
import jaxtyping
import pytest

if os.environ.get("DIFFJAX_TYPECHECK", "0") != "0":
    jaxtyping.install_import_hook("diffjax", "typechecker.check")


@pytest.fixture(autouse=True)
def _unchecked(request):
    """Leave annotations unchecked where a test is wrong on purpose, below what `border.checked` refuses."""
    on_purpose = request.node.get_closest_marker("unchecked") is not None
    jaxtyping.config.update("jaxtyping_disable", on_purpose)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


_CACHE = pathlib.Path(__file__).parents[1] / ".jax_cache"
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # thousands of small programs recur
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture
def x64():
    """Runs the test in double precision."""
    with jax.enable_x64(True):
        yield
