"""docs/solvers.md names what is measured, and nothing is missing from it."""

import pytest

from diffjax import samplers
from experiments import solver_orders

DOCUMENT = solver_orders.DOCUMENT.read_text()
ENTRIES = [*solver_orders.FLOW, *solver_orders.NOISY]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.text)
def test_a_row_is_labelled_by_the_call_that_made_it(entry):
    assert eval(entry.text, vars(samplers)) is entry.solver
    assert f"\n| `{entry.text}` | {entry.solver.nfe} |" in DOCUMENT


@pytest.mark.parametrize(
    "name",
    ["edm_euler", "euler_ancestral", "dpm_2_ancestral", "lms", "deis", "unipc", "pndm", "dpm_solver",
     "dpm_solver_pp", "dpm_solver_single", "dpm_solver_pp_single", "dpm_solver_pp_2s", "dpm_solver_pp_sde"],
)  # fmt: skip
def test_the_names_elsewhere_are_ours(name):
    assert f"`{name}(" in DOCUMENT or f"`{name}`" in DOCUMENT
    assert hasattr(samplers, name)


def test_a_table_replaces_the_one_before():
    text = "a\n<!-- t: begin -->\nold\n<!-- t: end -->\nb"
    assert solver_orders.insert(text, "t", "new") == text.replace("old", "new")
