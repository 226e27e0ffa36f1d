"""Text to pictures in two stages, begun and not trained: each is told the words, and has its own options."""

import jax
import numpy as np
import pytest
from commands.test_cascades import _config as picture
from ml_collections import ConfigDict

from diffjax import systems
from diffjax.keys import per_sample
from diffjax.training.system import Variables

SMALL = {"encoder": "low_resolution", "size": 4, "augmentation": 0.5}


@pytest.fixture
def config(tmp_path):
    """Return the config of a pipeline whose stages are configs alone."""
    for name, own in {"base": picture("none.npz", 4), "up": picture("none.npz", 8, image=SMALL)}.items():
        (tmp_path / name).mkdir()
        own.sampler.steps = 2
        (tmp_path / name / "config.json").write_text(own.to_json())
    return ConfigDict({
        "system": "imagen", "data": picture("none.npz", 8).data.to_dict(), "order": ("base", "up"),
        "stages": {name: {"workdir": str(tmp_path / name), "sampler": {}} for name in ("base", "up")},
        "augmentation": {"up": {"level": 0.2}},
    })  # fmt: skip


def begun(stage):
    """Return a stage's variables at initialisation, its network's so large that x_0 leaves its range."""
    params, extra = stage.system.init(jax.random.key(0), stage.system.example, {})
    return Variables({**params, "network": jax.tree.map(lambda a: 6 * (a + 0.1), params["network"])}, extra)


def test_each_stage_is_told_the_words_and_has_a_weight_and_a_threshold_of_its_own(config):
    config.stages.base.sampler = {"guidance_weight": 2.0}
    config.stages.up.sampler = {"threshold": "static"}
    system = systems.build(config)
    assert [each.calls for each in system.passes] == [{"base/network": 4}, {"up/network": 2}]
    cat, dog = (system.request.of_user({"text": word}, 2) for word in ("cat", "dog"))
    for told, number in ((cat, 0), (dog, 1)):
        assert {name: each["text"].tolist() for name, each in told.items()} == dict.fromkeys(
            told, [number] * 2
        )
    v = Variables(frozen={name: begun(stage) for name, stage in system.stages.items()})

    @jax.jit
    def run(request):
        made = {}
        for each in system.passes:
            made[each.name] = each.run(v, per_sample(jax.random.key(1), 2), request, made)
        return made["base/walk"], made["up/walk"]

    (base, up), (same, other) = run(cat), run({**cat, "up": dog["up"]})
    np.testing.assert_array_equal(base, same)
    assert np.abs(up - other).max() > 1e-3  # by what the second stage read
    assert np.abs(base).max() > 1 and np.abs(up).max() == 1


def test_a_first_stage_that_is_told_no_text_is_refused(config, tmp_path):
    own = picture("none.npz", 4)
    del own["conditions"]
    (tmp_path / "base" / "config.json").write_text(own.to_json())
    with pytest.raises(ValueError, match=r"config\.stages\.base must be asked with 'text'; it takes nothing"):
        systems.build(config)
