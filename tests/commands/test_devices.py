"""Commands use every core without being told; a user's own flags come first, and an import does nothing."""

import os
import subprocess
import sys

import pytest

from diffjax.commands import devices

CODE = "import jax, diffjax.commands.devices as d\n{}\nprint(jax.device_count())"


@pytest.mark.parametrize(
    ("said", "flags", "count"),
    [
        ("", "", 1),
        ("d.use_every_core()", "", devices.cores()),
        ("d.use_every_core()", "--xla_force_host_platform_device_count=3", 3),
    ],
)
def test_devices_of_a_cpu(said, flags, count):
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    ran = [sys.executable, "-c", CODE.format(said)]
    assert int(subprocess.run(ran, env=environment, capture_output=True, check=True).stdout) == count


def test_cores_are_counted_where_none_are_allotted(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    assert devices.cores() == os.cpu_count()
