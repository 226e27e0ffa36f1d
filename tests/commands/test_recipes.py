"""Recipes for clusters are what their readers accept, and say flags that there are."""

import pathlib
import re
import shutil
import subprocess
import sys

import kubernetes_validate
import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "recipes").glob("*.sh"))
MANIFESTS = sorted((ROOT / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(script):
    checker = shutil.which("shellcheck", path=str(pathlib.Path(sys.executable).parent))
    found = subprocess.run([checker, str(script)], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_jobs_are_what_kubernetes_accepts(manifest):
    """The jobs of a JobSet are Kubernetes' own, checked by its schema; what is around them is JobSet's."""
    jobset = yaml.safe_load(manifest.read_text())
    assert jobset["apiVersion"] == "jobset.x-k8s.io/v1alpha2" and jobset["kind"] == "JobSet"
    assert set(jobset["spec"]) <= {"failurePolicy", "replicatedJobs", "network", "successPolicy"}
    for each in jobset["spec"]["replicatedJobs"]:
        assert set(each) == {"name", "replicas", "template"}
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": each["name"]},
            **each["template"],
        }
        kubernetes_validate.validate(job, "1.30", strict=True)
        pods = each["template"]["spec"]
        assert pods["completions"] == pods["parallelism"] and pods["completionMode"] == "Indexed"
        (container,) = pods["template"]["spec"]["containers"]
        assert container["command"][:3] == ["python", "-m", "diffjax.train"]
        configs = [arg.partition("=")[2] for arg in container["args"] if arg.startswith("--config=")]
        assert configs and all((ROOT / config).is_file() for config in configs)
    wrong = {**job, "spec": {**job["spec"], "paralelism": 2}}
    with pytest.raises(kubernetes_validate.utils.ValidationError):
        kubernetes_validate.validate(wrong, "1.30", strict=True)


def test_every_flag_and_config_that_is_said_exists():
    told = "".join(path.read_text() for path in (*SCRIPTS, *MANIFESTS))
    for config in re.findall(r"--config=(configs/\S+?\.py)", told):
        assert (ROOT / config).is_file()
    source = (ROOT / "diffjax/commands/processes.py").read_text()
    assert "--distributed" in told and '"distributed"' in source
