"""Figures can be read without the text: axes with units, spread, no legend over a curve."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from diffjax.evaluation import figures

BOUND = {"prior": 1e-3, "terms": [1.0, 0.1, 1e-2, 1e-3], "terms_error": [0.1, 0.02, 1e-3, 1e-3]}
ROWS = [
    {"network_calls": calls, "frechet": 2 / calls, "class_accuracy": 0.9, "count": 100}
    for calls in (5, 10, 50)
]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved."""
    found, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **how: (found.append(self), save(self, *args, **how))
    )
    return found


def _readable(figure):
    figure.draw_without_rendering()
    for axis in figure.axes:
        assert axis.get_xlabel() and axis.get_ylabel() and axis.get_title()
        assert axis.get_legend() is None
        box = axis.get_window_extent()
        assert all(not legend.get_window_extent().overlaps(box) for legend in figure.legends)


def test_the_bound(tmp_path, drawn):
    path = figures.bound_terms(tmp_path / "new" / "bound.png", {"a": BOUND, "b": BOUND})
    assert Image.open(path).size[0] > 900
    (figure,) = drawn
    _readable(figure)
    each, together = figure.axes
    assert len(each.collections) == 2  # a band a curve
    np.testing.assert_allclose(together.lines[0].get_ydata()[0], 1.112)  # at n = 1 it is the bound
    assert "bits a dimension" in each.get_ylabel()


def test_a_teacher_is_a_curve_of_its_own(tmp_path, drawn):
    rows = [*ROWS, *({**row, "teacher": "its own walk"} for row in ROWS[:1])]
    figures.quality(tmp_path / "sweep.png", rows, {})
    (figure,) = drawn
    _readable(figure)
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [len(ROWS), 1]


def test_points_are_compared_by_their_own_distance(tmp_path, drawn):
    rows = [{"network_calls": n, "sliced_wasserstein": 1 / n} for n in (1, 2, 4)]
    figures.quality(tmp_path / "sweep.png", rows, {"sliced_wasserstein": 0.1})
    (figure,) = drawn
    _readable(figure)
    assert "sliced Wasserstein" in figure.axes[0].get_ylabel()
    np.testing.assert_allclose(figure.axes[0].lines[1].get_ydata(), 0.1)


@pytest.mark.parametrize("conditional", [True, False])
def test_quality(tmp_path, drawn, conditional):
    rows = ROWS if conditional else [{key: row[key] for key in ("network_calls", "frechet")} for row in ROWS]
    figures.quality(tmp_path / "sweep.png", rows, {})
    (figure,) = drawn
    _readable(figure)
    assert len(figure.axes) == 1 + conditional
    if conditional:
        (bars,) = figure.axes[1].containers
        ends = bars.lines[2][0].get_segments()[0][:, 1]
        np.testing.assert_allclose(ends, [84, 96])  # two standard errors of 90 of 100
