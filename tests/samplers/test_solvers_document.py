"""docs/solvers.md is what the listing and the measurements say, and nothing is missing from it."""

import re

import pytest

from diffjax import samplers
from diffjax.samplers.entry import TOLERANCE
from experiments import solver_orders

DOCUMENT = solver_orders.DOCUMENT.read_text()
ROWS = {
    order.call.text(entry.make): (entry, order) for entry, order in solver_orders.FLOW + solver_orders.NOISY
}


@pytest.mark.parametrize("text", ROWS)
def test_a_row_is_labelled_by_the_call_that_made_it(text):
    entry, order = ROWS[text]
    solver = order.call.of(entry.make)
    assert eval(text, vars(samplers)) is solver
    assert f"\n| `{text}` | {solver.nfe} |" in DOCUMENT


@pytest.mark.parametrize("text", ROWS)
def test_an_order_that_is_not_its_own_is_said_to_be_so(text):
    """What the measured orders' tests do not find within the tolerance is marked, and nothing else."""
    _, order = ROWS[text]
    if hasattr(order, "seen_on"):
        own, holds = order.order, [problem in order.seen_on for problem in ("edm", "straight")]
    else:
        own, holds = order.variance, ["edm" not in order.not_yet]
    line = next(line for line in DOCUMENT.splitlines() if line.startswith(f"| `{text}` |"))
    for held, cell in zip(holds, line.strip("| ").split(" | ")[2:]):
        found, mark = re.fullmatch(r"(\d\.\d\d)(?: \(not (\d)\))?", cell).groups()
        away = abs(float(found) - own)
        assert (mark is None) if held else (mark == str(own))
        assert away < TOLERANCE + 0.005 if held else away > TOLERANCE - 0.005  # the document rounds


@pytest.mark.parametrize("table", solver_orders.TOLD)
def test_what_is_told_is_the_listing_s(table):
    """Tables that need no measuring are up to date: `python -m experiments.solver_orders` writes them."""
    assert solver_orders.insert(DOCUMENT, table, solver_orders.TOLD[table]()) == DOCUMENT


def test_a_table_replaces_the_one_before():
    text = "a\n<!-- t: begin -->\nold\n<!-- t: end -->\nb"
    assert solver_orders.insert(text, "t", "new") == text.replace("old", "new")
