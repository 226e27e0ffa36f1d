"""What is asked beside what samples would ask: nothing where they obey, what is known where they do not."""

import jax.numpy as jnp
import numpy as np
import plain_systems
import pytest

from diffjax.data import Source
from diffjax.evaluation import asked
from diffjax.evaluation.evaluator import Task
from diffjax.training.system import Conditioning, Part, Variables

GREYS = np.array([0, 51, 255], np.uint8)  # in [-1, 1]: -1, -0.6, 1


def _system(paint, **more):
    """A system that is told the mean of a picture, whether it is light, and an array of the data."""
    make = lambda v, key, batch: {
        "mean": batch["x"].mean((1, 2)),
        "light": (batch["x"][..., 0] > 0).astype(jnp.int32),
        "name": batch["name"],
    }
    blank = lambda n: {
        "mean": np.full((n, 1), -1, np.float32),
        "light": np.zeros((n, 4, 4), np.int32),
        "name": np.zeros(n, np.int32),
    }
    parts = {"mean": Part((1,)), "light": Part((4, 4), jnp.int32), "name": Part((), jnp.int32)}
    shown = lambda request: [np.full((len(request["mean"]), 2, 2, 1), 9, np.uint8)]
    given = {"parts": parts, "of_batch": make, "default": blank, "pictures": shown} | more
    whole = lambda v, keys, request: jnp.broadcast_to(
        paint(request["mean"])[:, None, None], (len(keys), 4, 4, 1)
    )
    return plain_systems.make(gives="images", request=Conditioning(**given), sample=whole)


def _task(system, num=3):
    x = np.broadcast_to(GREYS[:, None, None, None], (3, 4, 4, 1)).copy()
    source = Source(x, arrays={"name": np.arange(3, dtype=np.int32)})
    return Task(system, Variables(), {"num_samples": num, "batch_size": 2}, source, source)


def test_what_obeys_differs_in_nothing_and_others_by_what_is_known(tmp_path):
    found = asked.EVALUATOR.prepare(_task(_system(lambda mean: mean)))()
    parts = found["asked"]["parts"]
    assert set(parts) == {"mean", "light"} and found["asked"]["count"] == 3  # not what the data give
    mean, light = parts["mean"], parts["light"]
    assert mean["made"]["mean"] == pytest.approx(0, abs=1e-6) and light["made"]["mean"] == 0
    # the means -1, -0.6, 1 beside 1, -1, -0.6, and beside -1
    np.testing.assert_allclose(mean["shuffled"]["mean"], (2 + 0.4 + 1.6) / 3, rtol=1e-6)
    np.testing.assert_allclose(mean["nothing"]["mean"], (0 + 0.4 + 2) / 3, rtol=1e-6)
    np.testing.assert_allclose(mean["nothing"]["error"], np.std([0, 0.4, 2]) / 3**0.5, rtol=1e-6)
    assert light["shuffled"]["mean"] == pytest.approx(2 / 3) and light["of"] == "classes"
    page = "\n".join(asked.EVALUATOR.pages(found))
    assert "| light, places of another class | 0.0% ± 0.0% | 66.7% ± 27.2% | 33.3% ± 27.2% |" in page
    asked.EVALUATOR.draw(tmp_path, found)
    assert (tmp_path / "asked.png").is_file()


def test_what_does_not_listen_is_as_far_as_what_it_makes():
    parts = asked.EVALUATOR.prepare(_task(_system(lambda mean: 0 * mean + 1)))()["asked"]["parts"]
    np.testing.assert_allclose(parts["mean"]["made"]["mean"], (2 + 1.6 + 0) / 3, rtol=1e-6)
    assert parts["mean"]["made"] == pytest.approx(parts["mean"]["nothing"])


def test_what_must_be_asked_has_no_column_of_nothing():
    def refused(n):
        raise ValueError("mean must be given")

    found = asked.EVALUATOR.prepare(_task(_system(lambda mean: mean, default=refused)))()
    assert set(found["asked"]["parts"]["mean"]) == {"of", "made", "shuffled"}
    assert "| 66.7% ± 27.2% | – |" in "\n".join(asked.EVALUATOR.pages(found))


def test_where_nothing_is_made_of_the_picture_there_is_nothing_to_measure():
    given = {"parts": {"name": Part((), jnp.int32)}, "of_batch": lambda v, key, b: {"name": b["name"]}}
    system = _system(lambda mean: mean, **given)
    assert asked.EVALUATOR.prepare(_task(system)) is None and not list(asked.EVALUATOR.pages({}))
    assert asked.EVALUATOR.prepare(_task(plain_systems.make(gives="images"))) is None


@pytest.mark.parametrize(
    "own, other, wanted",
    [([[0.0, 2.0]], [[1.0, 2.0]], 0.5**0.5), ([[1, 2, 3, 4]], [[1, 2, 0, 0]], 0.5)],
)
def test_difference(own, other, wanted):
    np.testing.assert_allclose(asked.difference(np.array(own), np.array(other)), [wanted])
