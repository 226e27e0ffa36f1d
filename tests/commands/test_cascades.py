"""A cascade of trained runs from its config alone: sampled, killed and gone on with, and what is refused."""

import numpy as np
import pytest
from forked import run as command
from ml_collections import ConfigDict
from systems.tools import tiny

from diffjax import commands, sample, train

TEXT = {"encoder": "classes", "array": "kind", "num_classes": 2, "names": ("cat", "dog"), "drop": 0.2}


def _config(file, size, **conditions):
    config = tiny("toys/ddpm")
    config.data = ConfigDict({
        "name": "npz", "path": str(file), "images": "image", "labels": None, "arrays": ("kind",),
        "size": size, "shape": (size, size, 1),
    })  # fmt: skip
    config.model = ConfigDict({"name": "mlp", "width": 8, "depth": 1})
    config.conditions = ConfigDict({"text": TEXT, **conditions})
    if conditions:
        config.model.map_channels = 1
    return config


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cascades")
    pixels = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), np.uint8)
    np.savez(folder / "tiny.npz", image=pixels, kind=np.arange(16) % 2)
    small = {"encoder": "low_resolution", "size": 4, "augmentation": 0.5, "blur": (0.4, 0.6)}
    train.train(_config(folder / "tiny.npz", 4), folder / "base", progress=False)
    train.train(_config(folder / "tiny.npz", 8, image=small), folder / "up", progress=False)
    return folder


@pytest.fixture
def config(runs):
    return ConfigDict({
        "system": "cascade",
        "data": _config(runs / "tiny.npz", 8).data.to_dict(),
        "stages": {"base": {"workdir": str(runs / "base")}, "up": {"workdir": str(runs / "up")}},
        "order": ("base", "up"),
        "augmentation": {"up": {"level": 0.3, "truncated": True}},
        "batch_sizes": {"up": 2},
    })  # fmt: skip


def _draw(system, variables, request, keep, **how):
    return commands.sample_in_batches(
        system, variables, key=commands.sampling.jax.random.key(0), num=3, batch_size=3, request=request,
        keep=keep, progress=None, **how,
    )  # fmt: skip


@pytest.mark.slow
def test_it_goes_on_at_the_stage_where_it_was_killed(config, tmp_path):
    system, variables, _ = commands.load(config)
    assert [(each.name, each.batch_size) for each in system.passes] == [("base/walk", None), ("up/walk", 2)]
    request = sample.request_for(system, 3, ["text=cat"])
    assert set(system.request.parts) == {"text"} and system.request.describe(request) == ["cat"] * 3

    def killed(*_):
        raise KeyboardInterrupt

    broken = [system.passes[0], system.passes[1]._replace(run=killed)]
    with pytest.raises(KeyboardInterrupt):
        _draw(system._replace(passes=broken), variables, request, tmp_path / "kept")
    broken = [system.passes[0]._replace(run=killed), system.passes[1]]
    found = _draw(system._replace(passes=broken), variables, request, tmp_path / "kept")
    np.testing.assert_array_equal(found.x, _draw(system, variables, request, None).x)
    assert found.x.shape == (3, 8, 8, 1) and np.abs(found.raw["base/walk"]).max() > 1  # noise is left in it


@pytest.mark.slow
def test_it_is_sampled_by_its_config(config, tmp_path):
    """The level is chosen by an override, and without noise nothing stops early."""
    file = tmp_path / "own.py"
    text = f"ConfigDict({config.to_dict()!r})"
    file.write_text(f"from ml_collections import ConfigDict\nget_config = lambda: {text}\n")
    said = ["--num=2", "--text=dog", "--config.augmentation.up.level=0.0"]
    code, _, err = command("sample", f"--config={file}", f"--out={tmp_path}", *said)
    assert code == 0, err
    with np.load(tmp_path / "samples.npz") as found:
        assert found["images"].shape == (2, 8, 8, 1) and found["said"].tolist() == ["dog"] * 2
        assert found["request/up/image_level"].shape == (2,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages.up.workdir": "nowhere"}, r"config\.stages\.up\.workdir must be the folder of a run"),
        ({"order": ("up",)}, r"config\.order must have each of base, up once, in order; got \('up',\)"),
        ({"order": ("up", "base")}, r"config\.augmentation must be one of base; got 'up'"),
        ({"stages.up": {}}, r"config\.stages\.up must have one of workdir and pretrained"),
        ({"augmentation.up.level": 0.6}, r"config\.augmentation\.up: image_level must be in \[0, 0\.5\]"),
        ({"batch_sizes.up": 0}, r"config\.batch_sizes\.up must be an integer of at least 1, got 0"),
        ({"batch_sizes.down": 1}, r"config\.batch_sizes must be one of base, up; got 'down'"),
        ({"stages.up.sampler": {"stop_at": 2.0}}, r"sampler\.stop_at: noise must be in \(0, 1\), got 2\.0"),
        ({"stages.up.model": {"width": 9}}, r"config\.stages\.up may change .*; got 'model'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(config, changes, message):
    with pytest.raises(ValueError, match=message):
        commands.load(commands.overridden(config, changes))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("text=horse", r"text must be in 0\.\.1, or 'none', got horse"),
        ("image=x.png", "this pipeline takes text; got 'image'"),
    ],
)
def test_what_a_user_asks_is_refused_before_anything_runs(config, asked, message):
    with pytest.raises(ValueError, match=message):
        sample.request_for(commands.load(config).system, 1, [asked])
