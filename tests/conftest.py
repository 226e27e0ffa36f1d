"""Eight virtual devices and a persistent compilation cache for every test.

DIFFJAX_TYPECHECK=1 checks every annotation of diffjax at run time besides (`make test` does so for some
files, `make typed` for all).
"""

import gc
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


# Begun first, so that of two processes neither waits long for the other at the end.
LONG = [
    "systems/test_every_system", "samplers/test_every_solver", "configs/test_configs",
    "models/test_every_network", "likelihoods/test_likelihood_exact", "evaluation/test_evaluate",
    "commands/test_commands", "test_examples", "systems/test_everything", "training/test_stopping",
    "chaos/test_chaos", "systems/test_conditions", "systems/test_latent", "training/test_loop",
    "training/test_survival", "training/test_variables",
]  # fmt: skip


def pytest_collection_modifyitems(items):
    places = {f"tests/{file}.py": place for place, file in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(LONG)))


def pytest_collection_finish():
    """Tracing makes millions of objects that are soon let go: the collector looks at them less often."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture
def x64():
    """Runs the test in double precision."""
    with jax.enable_x64(True):
        yield
