"""The notebooks run from top to bottom, and the exact results in them come out.

They are executed with few training steps, so what depends on a trained network is only seen to run.
"""

import json
import os
import pathlib
import subprocess
import sys

import nbclient
import nbformat
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]
NAMES = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


def _read(name):
    return nbformat.read(ROOT / "notebooks" / name, as_version=4)


def _run(name, results):
    """Execute a notebook and return what the expression `results` is at its end, as JSON has it."""
    notebook = _read(name)
    last = f"import json\nprint(json.dumps({results}, default=float))"
    notebook.cells.append(nbformat.v4.new_code_cell(last))
    environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}  # one device
    environment |= {
        "DIFFJAX_NOTEBOOK_STEPS": "16",
        "DIFFJAX_NOTEBOOK_IMAGES": "4",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    where = {"metadata": {"path": str(ROOT / "notebooks")}}
    client = nbclient.NotebookClient(notebook, timeout=1200, kernel_name="python3", resources=where)
    client.execute(env=environment)
    return json.loads(notebook.cells[-1].outputs[-1]["text"])


@pytest.mark.slow
def test_quickstart():
    found = _run(
        "quickstart.ipynb",
        """{
            "score_error": score_error,
            "weights": ddim_weights.tolist(),
            "floor": floor,
            "solvers": {
                name: [[run[key] for key in ("calls", "distance", "path")] for run in runs]
                for name, runs in results.items()
            },
            "certainty": list(certainty.values()),
            "spread": list(spread.values()),
            "images": [*images.shape, images.std()],
        }""",
    )
    assert found["score_error"] < 1e-5
    # 4,000 independent samples: three standard deviations of the largest weight are 0.02
    np.testing.assert_allclose(found["weights"], np.arange(1, 9) / 36, atol=0.025)
    expected_calls = {"ancestral": (12, 48), "ddim": (12, 48), "euler": (12, 48), "dpm_solver_pp": (12, 48)}
    expected_calls |= {"heun": (11, 47), "edm_heun": (11, 47)}
    for name, expected in expected_calls.items():
        (few_calls, few, _), (many_calls, many, _) = found["solvers"][name]
        assert (few_calls, many_calls) == expected, name
        assert many < 2.5 * found["floor"] and many < few, name
    orders = {"ddim": 1, "euler": 1, "dpm_solver_pp": 2, "heun": 2, "edm_heun": 2}
    for name, order in orders.items():
        (_, _, few), (_, _, many) = found["solvers"][name]
        assert few / many > 4 ** (order - 0.3), name
    assert found["solvers"]["ddim"] == pytest.approx(np.array(found["solvers"]["euler"]), rel=1e-3)
    assert found["certainty"] == sorted(found["certainty"]) and found["certainty"][-1] > 0.99
    assert abs(found["certainty"][0] - 1 / 3) < 0.04  # scale 0: no class is asked for
    assert found["spread"] == sorted(found["spread"], reverse=True)
    assert found["images"][:4] == [500, 8, 8, 1] and found["images"][4] > 0


@pytest.mark.slow
def test_bound():
    found = _run(
        "bound.ipynb",
        """{
            "excess": {name: list(row.values()) for name, row in excess.items()},
            "lost": [[b["lost"], b["error"]] for b in mixture_bounds.values()],
            "transitions": mixture_bounds[1000]["terms"][1:].sum(),
            "area": area,
            "digits": [[b["total"], b["prior"], b["terms"].sum()] for b in digits_bounds.values()],
        }""",
    )
    np.testing.assert_allclose(found["excess"]["learned"], 0, atol=1e-9)
    assert min(found["excess"]["fixed_small"] + found["excess"]["fixed_large"]) > 0.05
    lost, error = np.array(found["lost"]).T
    assert (lost > -4 * error).all() and abs(lost[-1]) < 4 * error[-1]
    assert (np.diff(lost[:4]) < 0).all() and lost[0] > 1
    assert found["area"] == pytest.approx(found["transitions"], rel=0.02)
    total, prior, terms = np.array(found["digits"]).T
    np.testing.assert_allclose(total, prior + terms, rtol=1e-5)
    assert np.isfinite(total).all() and (np.abs(prior) < 1e-6).all()


@pytest.mark.slow
def test_latents():
    found = _run(
        "latents.ipynb",
        """{
            "gap": exact_gap,
            "log_p": log_p.mean(),
            "ladder": list(ladder.values()),
            "closed": closed,
            "same": [as_vae.tolist(), as_diffusion.tolist()],
            "stairs": stairs.tolist(),
            "log_likelihood": log_likelihood.tolist(),
            "best": best,
        }""",
    )
    assert found["gap"] < 1e-12
    assert (np.diff(found["ladder"]) > 0).all() and found["ladder"][-1] < found["log_p"]
    assert found["log_p"] - found["ladder"][0] == pytest.approx(found["closed"], rel=0.1)
    np.testing.assert_allclose(*found["same"], rtol=1e-9)
    assert (np.diff(found["stairs"]) > -1e-12).all()
    # after each E step the bound is the likelihood of the M step before it
    np.testing.assert_allclose(found["stairs"][2::2], found["log_likelihood"][:-1], rtol=1e-12)
    assert (np.diff(found["log_likelihood"]) > -1e-12).all()
    assert abs(found["log_likelihood"][-1] - found["best"]) < 0.05


@pytest.mark.slow
def test_stages():
    found = _run(
        "stages.ipynb",
        """{
            "ends": [ends[14.0, "static"], ends[14.0, "dynamic"]],
            "spread": spread["pictures"],
            "right": right,
            "error": error,
            "varied": varied.shape,
            "way": [np.abs(way[0] - again[0]).max(), np.abs(thicker[0] - again[0]).max()],
        }""",
    )
    static, dynamic = found["ends"]
    assert dynamic < static
    np.testing.assert_allclose(found["spread"], 1, rtol=1e-6)  # of real pictures, over their own
    assert set(found["right"]) == {"prior", "text", "none"} and found["error"] < 0.1
    assert found["varied"] == [8, 8, 8, 1]
    np.testing.assert_allclose(found["way"], 0, atol=0.02)  # both ways begin at the picture


@pytest.mark.parametrize("name", NAMES)
def test_is_committed_small_and_as_executed(name):
    """Outputs are of one run from top to bottom, without errors, warnings or anybody's folders."""
    assert (ROOT / "notebooks" / name).stat().st_size < 300_000
    notebook = _read(name)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert "error" not in {output.output_type for output in outputs}
    assert any("image/png" in output.get("data", {}) for output in outputs)
    text = " ".join(output.get("text", "") for output in outputs)
    assert "Warning" not in text and str(pathlib.Path.home()) not in text and "/tmp" not in text


@pytest.mark.parametrize("name", [name for name in NAMES if "find_spec" in _read(name).cells[1].source])
def test_where_it_is_installed_the_first_cell_installs_nothing(name, tmp_path):
    """Outside a checkout too, as in Colab."""
    code = next(cell.source for cell in _read(name).cells if cell.cell_type == "code")
    nothing_runs = "import subprocess\nsubprocess.run = None\n"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", nothing_runs + code], cwd=tmp_path, env=environment, check=True)
