"""Ranks and recall in closed form, and what chance finds by counting all orders."""

import itertools

import numpy as np
import pytest

from diffjax.evaluation import retrieval


def test_a_rank_counts_the_wrong_ones_that_are_as_near():
    right = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]], bool)
    similarity = np.array([[4, 3, 2, 1], [3, 1, 2, 0], [1, 1, 1, 1], [np.nan, 1, 2, 3]], float)
    assert retrieval.ranks(similarity, right).tolist() == [1, 2, 4, 4]
    with pytest.raises(ValueError, match="right must have a candidate for each query, 1 has none"):
        retrieval.ranks(np.zeros((2, 2)), np.array([[True, False], [False, False]]))


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_chance_is_the_share_of_orders_that_find_one(count, k):
    found = [min(order[:count]) < k for order in itertools.permutations(range(5))]  # places of the right ones
    assert retrieval.chance(np.array([count]), 5, k) == pytest.approx(np.mean(found))


def test_scores_of_a_known_order():
    """Query i of 20 has its own candidate at rank i + 1."""
    right = np.eye(20, dtype=bool)
    similarity = np.where(right, 0.5, np.where(np.tri(20, k=-1), 1.0, 0.0))
    found = retrieval.scores(similarity, right)
    expected = {"recall_1": 1 / 20, "recall_10": 1 / 2, "median_rank": 10.5}
    expected |= {"recall_1_chance": 1 / 20, "recall_10_chance": 1 / 2, "median_rank_chance": 10}
    expected |= {"recall_10_error": np.sqrt(0.25 / 20), "queries": 20, "candidates": 20}
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_pictures_of_one_text_are_all_right_for_it():
    text = np.eye(3)[[0, 0, 1, 2]]
    image = np.array([[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)  # the first looks like another text
    both = retrieval.both_ways(image, text, retrieval.numbered([np.array([7, 7, 8, 9])]))
    assert both["image_to_text"]["recall_1"] == 0.75 and both["image_to_text"]["candidates"] == 3
    assert both["text_to_image"]["queries"] == 3 and both["text_to_image"]["candidates"] == 4
    assert both["text_to_image"]["recall_1"] == pytest.approx(2 / 3)  # the second is as near to the first
    assert both["text_to_image"]["recall_1_chance"] == pytest.approx((2 + 1 + 1) / 12)


def test_equal_rows_have_one_number():
    found = retrieval.numbered([np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 3.0]]), np.array([4, 4, 4])])
    assert found[0] == found[1] != found[2]
