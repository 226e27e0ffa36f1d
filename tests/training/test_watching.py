"""What a run tells of its speed and cost, and what it notices when it hangs."""

import json
import re
import time

import jax
import jax.numpy as jnp
import pytest
from training import toy_training

from diffjax import models
from diffjax.training import cost, metrics, watching

# what a step multiplies: x w, and the gradient of w, for 8 rows of 16 features
STEP = 2 * (2 * toy_training.BATCH * toy_training.FEATURES)


def test_a_row_tells_speed_waits_and_utilisation(tmp_path):
    class Slow(toy_training.Batches):
        def __next__(self):
            time.sleep(0.01)
            return super().__next__()

    toy_training.run(tmp_path, 40, 40, 20, batches=Slow(), watch=watching.watch(peak_flops=1e6))
    row = metrics.read(tmp_path)[-1]
    assert row["examples_per_s"] == pytest.approx(toy_training.BATCH * row["steps_per_s"])
    assert row["flops_per_s"] == pytest.approx(STEP * row["steps_per_s"])
    assert row["utilisation"] == pytest.approx(row["flops_per_s"] / (1e6 * jax.device_count()))
    assert 0.2 < row["data_wait"] < 1
    about = json.loads((tmp_path / "cost.json").read_text())
    parameters = 4 * (toy_training.FEATURES + 1)
    assert about["flops"] == STEP and about["state_bytes"]["params"] == parameters
    assert about["state_bytes"]["ema"] == parameters and about["state_bytes"]["opt_state"] >= 2 * parameters


def test_operations_of_products_convolutions_and_loops():
    """A convolution is N H W C_out k^2 C_in multiply-adds, its gradients as many each; strides divide."""
    x, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 5))
    dimensions = jax.lax.conv_dimension_numbers(x.shape, kernel.shape, ("NHWC", "HWIO", "NHWC"))
    one = 2 * (2 * 8 * 8 * 5) * (3 * 3 * 3)
    for stride in (1, 2):
        run = lambda x, k, s=stride: jax.lax.conv_general_dilated(
            x, k, (s, s), "SAME", dimension_numbers=dimensions
        )
        assert cost.flops(run, x, kernel) == one / stride**2
        both = jax.value_and_grad(lambda x, k: (run(x, k) ** 2).sum(), argnums=(0, 1))  # noqa: B023
        assert cost.flops(both, x, kernel) == 3 * one / stride**2
    w = jnp.ones((4, 4))
    branch = lambda x: jax.lax.cond(x.sum() > 0, lambda x: x @ w @ w, lambda x: x @ w, x)
    assert cost.flops(branch, w) == 2 * 2 * 4**3


@pytest.mark.parametrize("gradient", [False, True])
def test_operations_are_those_the_compiler_counts(gradient):
    """For a network without padding or loops; a backward pass costs two forward passes."""
    mlp = models.MLP(width=32, depth=2)
    x, t = jnp.ones((4, 2)), jnp.ones(4)
    variables = mlp.init(jax.random.key(0), x, t, None)
    run = lambda variables, x: (mlp.apply(variables, x, t, None) ** 2).sum()
    run = jax.grad(run) if gradient else run
    told = jax.jit(run).lower(variables, x).compile().cost_analysis()["flops"]
    assert cost.flops(run, variables, x) == pytest.approx(told, rel=0.1)


def test_a_step_that_cannot_fit_is_refused_before_it_runs():
    class Small:
        def memory_stats(self):
            return {"bytes_limit": 1000}

    compiled = jax.jit(lambda x: x @ x).lower(jnp.ones((64, 64))).compile()
    with pytest.raises(ValueError, match=r"a step needs .* GiB on each device .* and there are 0.00 GiB"):
        cost.check_memory(compiled, [Small()])
    cost.check_memory(compiled, jax.local_devices())  # a CPU does not say how much it has
    needed = cost.memory(compiled)
    assert needed.arguments == needed.outputs == 64 * 64 * 4


def test_a_step_that_hangs_shows_where(tmp_path, capfd):
    class Stuck(toy_training.Batches):
        def __next__(self):
            if self.position == 3:
                time.sleep(1.0)
            return super().__next__()

    toy_training.run(tmp_path, 5, 5, 5, batches=Stuck(), watch=watching.watch(hang_after=0.3))
    told = capfd.readouterr().err
    assert re.search(r"Timeout \(0:00:00\.3.*\n(.*\n)*.*in __next__", told)


def test_a_trace_of_the_steps_that_were_asked_for(tmp_path):
    toy_training.run(tmp_path, 6, 6, 6, watch=watching.watch(profile=(3, 4)))
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"peak_flops": 0.0}, "peak_flops must be"),
        ({"hang_after": -1.0}, "hang_after must be"),
        ({"profile": (3, 2)}, r"profile must be two steps in order"),
        ({"profile": (0, 2)}, r"profile must be two steps in order"),
        ({"profile": (1, 2, 3)}, r"profile must be two steps in order"),
    ],
)
def test_what_cannot_be_watched(options, message):
    with pytest.raises(ValueError, match=message):
        watching.watch(**options)


def test_numbers_of_held_out_data_may_choose_the_best(tmp_path):
    """They are logged by their name, and the lowest one's checkpoint stays."""
    scores = {2: 3.0, 4: 1.0, 6: 2.0, 8: 4.0}
    toy_training.run(
        tmp_path, 8, 2, 4, keep=1, best_metric="held_out/loss", validate_every=2,
        on_validate=lambda step, variables: {"loss": scores[step]},
    )  # fmt: skip
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == [4, 8]
    assert [row["held_out/loss"] for row in metrics.read(tmp_path)] == [1.0, 4.0]
    with pytest.raises(ValueError, match="best_metric='held_out/loss' is not one of"):
        toy_training.run(tmp_path / "without", 2, 2, 2, best_metric="held_out/loss")
