"""Eight virtual devices, a persistent compilation cache, and annotations checked at run time, for every test.

DIFFJAX_TYPECHECK=0 leaves annotations unchecked, =1 checks those of all rooms, not of the listed ones alone.
"""

import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

import jax
import jaxtyping
import pytest

# what is checked in its own tests, argument by argument; DIFFJAX_TYPECHECK=1 checks all rooms in all tests
ROOMS = ("guidance", "objectives", "models", "data")
ASKED = os.environ.get("DIFFJAX_TYPECHECK", "rooms")

if ASKED != "0":
    checked = "diffjax" if ASKED == "1" else [f"diffjax.{room}" for room in ROOMS]
    jaxtyping.install_import_hook(checked, "typechecker.check")
jaxtyping.config.update("jaxtyping_disable", True)


@pytest.fixture(autouse=True)
def _typechecked(request):
    """Check annotations, but not where a test is wrong on purpose below what `border.checked` refuses."""
    off = ASKED == "0" or (ASKED != "1" and request.path.parent.name not in ROOMS)
    off = off or request.node.get_closest_marker("unchecked") is not None
    jaxtyping.config.update("jaxtyping_disable", off)
    yield
    jaxtyping.config.update("jaxtyping_disable", True)


_CACHE = pathlib.Path(__file__).parents[1] / ".jax_cache"
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture
def x64():
    """Runs the test in double precision."""
    with jax.enable_x64(True):
        yield
