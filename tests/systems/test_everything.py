"""A system that uses all of the frame goes through the three commands without a line outside its own file."""

import json
import pathlib
import shutil
import signal
import time

import forked
import jax
import numpy as np
import pytest

from diffjax.training import checkpoints

HERE = pathlib.Path(__file__).parent


def run(*argv):
    code, out, err = forked.run(*argv)
    assert code == 0, err
    return out


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Data with captions, and a teacher that was trained on them."""
    folder = tmp_path_factory.mktemp("everything")
    rng, captions = np.random.default_rng(0), np.array(["light left", "dark", "dark right", "light"])
    images = rng.integers(0, 256, (40, 8, 8, 1), np.uint8)
    arrays = {f"{split}_image": images for split in ("train", "test")}
    arrays |= {f"{split}_caption": captions[np.arange(40) % 4] for split in ("train", "test")}
    np.savez(folder / "data.npz", **arrays)
    data = {
        "name": "npz",
        "path": str(folder / "data.npz"),
        "labels": None,
        "shape": (8, 8, 1),
        "num_classes": None,
    }
    run(
        "train", "--config=configs/digits/ddpm.py", f"--workdir={folder / 'teacher'}",
        f"--config.data={data}",
        "--config.model={'name': 'mlp', 'width': 8, 'depth': 1}", "--config.objective.label_dropout=0.0",
        "--config.training.num_steps=2", "--config.training.batch_size=8", "--config.training.sample_every=0",
        "--config.sampler.steps=3", "--config.optimizer.warmup_steps=1",
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def config(place):
    return f"--config={HERE / 'everything.py'}:{place / 'data.npz'},{place / 'teacher'}"


@pytest.fixture(scope="module")
def trained(place, config):
    run("train", config, f"--workdir={place / 'run'}")
    return place / "run"


def test_both_updates_and_all_it_carries_are_trained(trained):
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert (
        len(rows) == 24 and {"critic/loss", "network/loss", "loss", "critic/learning_rate"} <= rows[0].keys()
    )
    # each rate counts its own updates: the critic has made 2 n - 1 of 48, the generator n - 1 of 24
    cosine = lambda share: 1e-3 * 0.5 * (1 + np.cos(np.pi * share))
    mean_of_two = np.mean([cosine(22 / 48), cosine(23 / 48)])
    np.testing.assert_allclose(rows[11]["critic/learning_rate"], mean_of_two, rtol=1e-4)
    np.testing.assert_allclose(rows[11]["network/learning_rate"], cosine(11 / 24), rtol=1e-4)
    kept = checkpoints.restore_params(trained)
    assert set(kept) == {"network", "network_state", "codec"}  # and no critic
    mean = kept["network_state"]["batch_stats"]["BatchNorm_0"]["mean"]
    assert np.abs(mean).max() > 0  # batch statistics moved, and their average with them
    assert (trained / "samples" / "step_0000012.png").exists()


def test_killed_it_resumes_bit_for_bit(place, config, trained):
    victim = place / "victim"
    process = forked.Command("train", config, f"--workdir={victim}")
    while process.poll() is None and (checkpoints.latest_step(victim) or 0) < 6:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (checkpoints.latest_step(victim) or 0) < 24
    run("train", config, f"--workdir={victim}")
    for ema in (True, False):
        both = [checkpoints.restore_params(folder, ema=ema) for folder in (trained, victim)]
        jax.tree.map(np.testing.assert_array_equal, *both)
    extra = [
        checkpoints.restore_served(folder, ["network_state"], ema=False)[0] for folder in (trained, victim)
    ]
    jax.tree.map(np.testing.assert_array_equal, *extra)


def test_it_samples_what_was_said(place, config, trained):
    asked = "--ask=text=light left", "--ask=text=dark"
    run("sample", f"--workdir={trained}", config, "--num=5", f"--out={place / 'said'}", *asked)
    samples = np.load(place / "said" / "samples.npz")
    assert samples["images"].shape == (5, 8, 8, 1)
    assert samples["said"].tolist() == ["light left", "dark", "light left", "dark", "light left"]
    np.testing.assert_array_equal(samples["request/text"][:2], [[1, 3], [2, 0]])
    code, _, err = forked.run("sample", f"--workdir={trained}", config, "--ask=text=green")
    assert code == 2 and "text must be at most 2 of light, dark" in err and "Traceback" not in err


def test_it_is_evaluated(place, config, trained):
    run("evaluate", f"--workdir={trained}", config, f"--out={place / 'report'}")
    found = json.loads((place / "report" / "evaluation.json").read_text())
    assert found["samples"][0]["count"] == 16 and found["step"] == 24


def test_moved_and_with_its_teacher_gone_it_samples_the_same(place, config, trained):
    run("sample", f"--workdir={trained}", config, "--num=4", f"--out={place / 'before'}")
    shutil.move(place / "teacher", place / "elsewhere")
    moved = place / "moved" / "run"
    shutil.copytree(trained, moved)
    try:
        run("sample", f"--workdir={moved}", config, "--num=4", f"--out={place / 'after'}")
        before, after = (np.load(place / name / "samples.npz")["images"] for name in ("before", "after"))
        np.testing.assert_array_equal(before, after)
        kept = next(
            path
            for path in (moved / "stages/teacher/variables").rglob("*")
            if path.is_file() and path.stat().st_size > 500
        )
        kept.write_bytes(kept.read_bytes()[:-8] + b"12345678")
        code, _, err = forked.run("sample", f"--workdir={moved}", config, "--num=4")
        assert code == 2 and "Traceback" not in err
    finally:
        shutil.move(place / "elsewhere", place / "teacher")
