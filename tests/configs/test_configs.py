"""Every config trains as far as its data allow: it builds, and its real network traces, on stand-in data."""

import functools
import inspect
import math
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import commands, data, systems, train
from diffjax.data import catalog, prepared

ROOT = pathlib.Path(__file__).parents[2] / "configs"
FILES = {path.relative_to(ROOT).as_posix(): [] for path in sorted(ROOT.glob("*/*.py"))}
FILES["cifar10/iddpm.py"] = ["bound"]
FILES["toys/ddpm.py"] = ["checkerboard"]
CASES = [(file, argument) for file, arguments in FILES.items() for argument in (None, *arguments)]

every_config = pytest.mark.parametrize(
    "file, argument", CASES, ids=[f"{f}:{a}" if a else f for f, a in CASES]
)


def _config(file, argument=None):
    module = commands.config_module(ROOT / file)
    return module.get_config() if argument is None else module.get_config(argument)


def _stand_in(config, name, split, **options):
    """Check the options against the true reader's, and return examples of the right shape."""
    reader = catalog._READERS.get(name) or functools.partial(prepared.read, name)
    inspect.signature(reader).bind(split=split, **options)
    n, shape = config.training.batch_size, tuple(config.data.shape)
    x = np.zeros((n, *shape), np.uint8 if len(shape) == 3 else np.float32)
    num_classes = config.data.get("num_classes")
    label = None if num_classes is None else np.arange(n, dtype=np.int32) % num_classes
    return data.Source(x, label, num_classes, name)


@every_config
def test_trains_but_for_the_data(file, argument, monkeypatch, tmp_path):
    """`train` checks every key, builds, and traces gradients of the real network before it begins."""
    config, begun = _config(file, argument), []
    monkeypatch.setattr(data, "load", functools.partial(_stand_in, config))
    monkeypatch.setattr(train, "fit", lambda system, *args, **options: begun.append((system, options)))
    train.train(config, tmp_path / "run", progress=False)
    ((system, options),) = begun
    assert options["num_steps"] == config.training.num_steps

    num_classes = config.data.num_classes if config.model.get("num_classes") else None
    labels = None if num_classes is None else jnp.arange(4) % num_classes
    state = jax.eval_shape(system.init, jax.random.key(0))
    sample = lambda key, *state: system.sample(*state, key, labels, 4)
    found = jax.eval_shape(sample, jax.random.key(0), *state)
    assert found.shape == (4, *config.data.shape)


@every_config
def test_says_how_to_run_it(file, argument):
    about = inspect.getdoc(commands.config_module(ROOT / file))
    assert f"python -m diffjax.train --config=configs/{file} --workdir=runs/" in about


@pytest.mark.parametrize(
    "file, published",
    [
        ("cifar10/ddpm.py", 35_746_307),  # as diffusers' UNet2DModel of google/ddpm-cifar10-32 has them
        ("cifar10/iddpm.py", None),
        ("cifar10/ddpm_ip.py", None),
    ],
)
def test_numbers_of_parameters_are_those_of_the_docstring(file, published):
    init = systems.build(_config(file)).init
    params, *_ = jax.eval_shape(init, jax.random.key(0))
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    said = re.search(r"(\d+,\d+,\d+) parameters", inspect.getdoc(commands.config_module(ROOT / file)))
    assert count == int(said.group(1).replace(",", "")) == (published or count)
