"""The studies of `experiments/`: what is committed belongs together, and the runner keeps its promises."""

import importlib
import json
import math
import pathlib
import sys
import types

import jax
import numpy as np
import pytest

from diffjax import systems
from experiments import report, study, taught

ROOT = pathlib.Path(__file__).parents[1]
NAMES = sorted(path.parent.name for path in (ROOT / "experiments").glob("*/run.py"))


def _study(name):
    return importlib.import_module(f"experiments.{name}.run")


def _found(name):
    return json.loads((ROOT / "experiments" / name / "results.json").read_text())


def test_studies_are_found():
    assert len(NAMES) >= 11


@pytest.mark.parametrize("name", NAMES)
def test_every_arm_builds(name, tmp_path):
    module = _study(name)
    configs = {config.to_json(): config for config in module.ARMS.values() if config is not None}
    for config in configs.values():
        assert systems.build(_with_runs(config, getattr(module, "TEACHERS", {}), tmp_path)).updates


def _with_runs(config, teachers, folder):
    """Return a config that learns from runs of a folder that were begun, and no more."""
    config = config.copy_and_resolve_references()
    for section in taught.SECTIONS:
        if config.get(section):
            name = config[section].workdir
            config[section].workdir = str(folder / name)
            (folder / name).mkdir(exist_ok=True)
            own = _with_runs(teachers[name], teachers, folder)
            (folder / name / "config.json").write_text(own.to_json())
    return config


@pytest.mark.parametrize("name", NAMES)
def test_claims_are_of_arms_and_metrics_that_were_measured(name):
    module, results = _study(name), _found(name)["results"]
    assert list(results) == list(module.ARMS)
    for claim in module.CLAIMS:
        for arm, metric in (claim.less, claim.more):
            assert all(metric in seed for seed in results[arm])
    seeds = {len(rows) for rows in results.values()}
    assert seeds == {len(_found(name)["seeds"])} and min(seeds) >= study.least_seeds(module)


@pytest.mark.parametrize("name", NAMES)
def test_the_report_is_what_its_results_give(name, tmp_path):
    """README and figure come from results.json alone, and the remarks were written for it."""
    module, found = _study(name), _found(name)
    assert report.digest(found["results"]) == module.REMARKS_OF
    assert (ROOT / "experiments" / name / "README.md").read_text() == report.page(module, found)
    assert module.REMARKS.strip() in report.page(module, found) and module.CAPTION.strip()
    module.figure(tmp_path / "figure.png", found["results"])
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def _config(width):
    config = study.config_of("toys/ddpm.py", "ring8", model={"width": width, "depth": 1})
    config.data.num_examples = 64
    config.optimizer.warmup_steps = 1
    config.training.update({"num_steps": 3, "batch_size": 8})
    return config


@pytest.fixture
def quick(tmp_path):
    """Return a study of two arms that train nothing, which counts what it measures."""
    module = types.ModuleType("quick", "A quick study\n\nTwo arms that train nothing.")
    module.__file__ = str(tmp_path / "quick" / "run.py")
    module.ARMS, module.asked = {"first": None, "first, wider": None}, []

    def measure(name, config, variables, seed):
        assert config is None and variables is None
        module.asked.append((name, seed))
        return {"value": seed + 10.0 * (name != "first")}

    module.measure = measure
    module.CLAIMS = [study.Claim("wider is more", "table 1", ("first", "value"), ("first, wider", "value"))]
    module.REMARKS, module.CAPTION = "It is more by ten.", "Nothing to see."
    module.figure = lambda path, results: path.write_text(json.dumps(results))
    return module


def _command(monkeypatch, module, *options):
    monkeypatch.setattr(sys, "argv", ["run", *map(str, options)])
    study.main(module)


def test_an_arm_and_a_seed_are_measured_once(quick, tmp_path):
    found = study.run(quick, tmp_path, range(2))
    assert len(quick.asked) == 4
    (tmp_path / "first" / "1.json").unlink()
    again = study.run(quick, tmp_path, range(3))
    assert quick.asked[4:] == [("first", 1), ("first", 2), ("first, wider", 2)]
    assert {name: rows[:2] for name, rows in again["results"].items()} == found["results"]


def test_what_stops_in_the_middle_keeps_what_was_done(quick, tmp_path):
    whole = quick.measure
    quick.measure = lambda name, *rest: whole(name, *rest) if name == "first" else {"value": math.nan}
    with pytest.raises(ValueError, match="metric 'value' of arm 'first, wider' must be finite"):
        study.run(quick, tmp_path, [0])
    quick.measure = whole
    study.run(quick, tmp_path, [0])
    assert quick.asked == [("first", 0), ("first, wider", 0)]


def test_one_arm_alone(quick, tmp_path, monkeypatch, capsys):
    _command(monkeypatch, quick, "--arms=first, wider", f"--out={tmp_path / 'out'}", "--seeds=2")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["first, wider"]
    assert "| first, wider | 10.5 ± 0.71 |" in capsys.readouterr().out


def test_names_of_arms_may_have_commas():
    arms = dict.fromkeys(["a", "a, b", "b", "c, d"])
    assert study.named("a, b,c, d,b", arms) == ["a, b", "c, d", "b"]
    assert study.named("a,c, d", arms) == ["a", "c, d"]
    with pytest.raises(ValueError, match="--arms must be names of this study's arms, got 'x, b'"):
        study.named("a,x, b", arms)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--arms=furst"], "did you mean 'first'"),
        (["--seeds=2", "--report=r"], "--seeds must be at least 3, got 2"),
        (["--arms=first", "--report=r"], "--report is of all arms: leave out --arms"),
        (["--results=nowhere.json"], "nowhere.json"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_measured(
    quick, tmp_path, monkeypatch, capsys, options, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        _command(monkeypatch, quick, f"--out={tmp_path / 'out'}", *options)
    told = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2 and message in told[-1] and not quick.asked
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_report_is_written_only_where_it_is_asked_for(quick, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _command(monkeypatch, quick, "--out=out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    _command(monkeypatch, quick, "--out=out", "--report=report")
    assert len(quick.asked) == 6
    files = sorted(path.name for path in (tmp_path / "report").iterdir())
    assert files == ["README.md", "figure.png", "results.json"]
    page = (tmp_path / "report" / "README.md").read_text()
    assert "| wider is more | table 1 | 1 ± 1 < 11 ± 1 | 10 ± 0 | shows |" in page
    _command(monkeypatch, quick, "--results=report/results.json", "--report=again")
    for name in files:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "report" / name).read_bytes()


def test_remarks_are_left_out_for_other_results(quick, tmp_path):
    found = study.run(quick, tmp_path, range(3))
    of = report.digest(found["results"])
    assert f"without a word for which results, and these are {of}" in report.page(quick, found)
    quick.REMARKS_OF = of
    assert quick.REMARKS in report.page(quick, json.loads(json.dumps(found)))
    found["results"]["first"][0]["value"] += 1e-9
    page = report.page(quick, found)
    assert quick.REMARKS not in page and f"for other results, {of}" in page


def test_verdicts():
    results = lambda *differences: {"a": [{"x": 0.0}] * 3, "b": [{"x": each} for each in differences]}
    claim = study.Claim("", "", ("a", "x"), ("b", "x"))
    for differences, verdict in (
        ((1, 2, 3), "shows not"),
        ((1.1, 2, 2.9), "shows"),
        ((-1, -1, -1), "opposite"),
    ):
        assert report.judge(claim, results(*differences))["verdict"] == verdict


def test_files_of_another_config_or_damaged_are_refused_before_anything_is_trained(quick, tmp_path):
    quick.ARMS = {"first": _config(4)}
    quick.trained = lambda config, seed, out: quick.asked.append("trained")
    quick.measure = lambda name, config, variables, seed: {"value": 1.0}
    study.run(quick, tmp_path, [1])
    quick.ARMS = {"new": _config(4), "first": _config(8)}
    with pytest.raises(ValueError, match=r"first/1.json is of another config of arm 'first': remove it"):
        study.run(quick, tmp_path, [0, 1])
    (tmp_path / "first" / "1.json").write_text('{"config":')
    with pytest.raises(ValueError, match=r"first/1.json cannot be read: remove it"):
        study.run(quick, tmp_path, [0, 1])
    assert quick.asked == ["trained"]
    (tmp_path / "first" / "1.json").unlink()
    quick.ARMS = {"first": _config(8)}
    study.run(quick, tmp_path, [1])
    quick.ARMS["first"].evaluation.num_samples = 3  # nothing that training depends on
    study.run(quick, tmp_path, [1])
    assert quick.asked == ["trained"] * 2


def test_neighbouring_arms_of_one_config_share_its_network(quick, tmp_path):
    quick.ARMS = {"a": _config(4), "b": _config(4), "c": _config(8)}
    quick.trained = lambda config, seed, out: quick.asked.append((config.model.width, seed)) or config
    quick.measure = lambda name, config, variables, seed: {"value": float(variables.model.width)}
    found = study.run(quick, tmp_path, [0, 1])
    assert quick.asked == [(4, 0), (8, 0), (4, 1), (8, 1)]
    assert [rows[0]["value"] for rows in found["results"].values()] == [4, 4, 8]


def test_training_does_not_depend_on_how_many_steps_are_compiled_together(monkeypatch):
    trees = []
    for chunk in (500, 1):
        monkeypatch.setattr(study, "_CHUNK", chunk)
        trees.append(study.train(_config(4), 0).params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), *trees)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(trees))
