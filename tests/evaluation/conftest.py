"""One briefly trained classifier of digits for all tests of this folder."""

import pytest

from diffjax import data
from diffjax.evaluation import classifier


@pytest.fixture(scope="session")
def digits():
    return data.load("digits", "train"), data.load("digits", "test")


@pytest.fixture(scope="session")
def judge(digits):
    return classifier.fit(*digits, num_steps=120)


@pytest.fixture
def judged(monkeypatch, judge):
    monkeypatch.setattr(classifier, "fit", lambda source, held_out, seed: judge)
    return judge
