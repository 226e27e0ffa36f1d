"""Texts as ids: what is kept, what is spelled, and what is refused."""

import numpy as np
import pytest
import tokenizers

from diffjax.data import tokens

TEXTS = ["A red apple", "a red car", "the blue, blue sea", "a cat"]


@pytest.fixture(scope="module")
def made():
    return tokens.trained(TEXTS, 60)


def test_words_come_back_whatever_their_case(made):
    ids = made(["A RED  apple", "the blue sea", ""], 5)
    assert ids.dtype == np.int32 and ids.shape == (3, 5) and ids.min() >= 0 and ids.max() < made.vocab_size
    assert (ids != made.pad).sum(1).tolist() == [3, 3, 0]
    assert made.decode(ids) == ["a red apple", "the blue sea", ""]


def test_a_word_that_is_none_of_them_is_spelled_and_a_letter_that_is_none_is_unknown(made):
    ids = made(["bread", "ž"], 6)
    assert (ids[0] != made.pad).sum() > 1 and made.decode(ids[:1]) == ["bread"]
    assert ids[1].tolist() == [1, 0, 0, 0, 0, 0]


def test_the_same_texts_make_the_same_ids_in_any_order(made, tmp_path):
    again = tokens.trained(TEXTS[::-1], 60)
    (tmp_path / "tokenizer.json").write_text(again.to_json())
    read = tokens.read(tmp_path / "tokenizer.json")
    for other in (again, read):
        np.testing.assert_array_equal(other(TEXTS, 12), made(TEXTS, 12))
    assert (read.vocab_size, read.pad) == (made.vocab_size, made.pad)


def test_the_most_frequent_are_kept_where_not_all_have_room(made):
    words = ["car", "cat", "sea", "the"]  # the last of those that are there once
    few = tokens.trained(TEXTS, made.vocab_size - len(words))
    assert few.vocab_size == made.vocab_size - len(words)
    assert (few(["a", "red", "blue", "apple"], 9) != few.pad).sum(1).tolist() == [1] * 4
    assert (few(words, 9) != few.pad).sum(1).tolist() == [3] * 4


def test_what_is_too_long_is_cut_or_refused(made):
    with pytest.raises(ValueError, match=r"caption must be at most 2 tokens, got 3 of 'a red apple'"):
        made(["a cat", "a red apple"], 2, name="caption")
    np.testing.assert_array_equal(made(["a red apple"], 2, cut=True), made(["a red"], 2))


def test_a_given_tokenizer_is_read_and_one_without_padding_refused(tmp_path):
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel({"cat": 0, "<pad>": 1, "[UNK]": 2}, "[UNK]"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    model.enable_truncation(1)
    model.save(str(tmp_path / "t.json"))
    made = tokens.read(tmp_path / "t.json")
    assert made.pad == 1 and made(["cat cat dog"], 4).tolist() == [[0, 0, 2, 1]]
    bare = tokenizers.Tokenizer(tokenizers.models.WordLevel({"cat": 0}, "cat"))
    bare.save(str(tmp_path / "bare.json"))
    with pytest.raises(ValueError, match=r"bare\.json has no token for padding"):
        tokens.read(tmp_path / "bare.json")


def test_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match=r"tokenizer must be an existing tokenizer\.json, got"):
        tokens.read(tmp_path / "nothing.json")
    (tmp_path / "broken.json").write_text('{"model"')
    with pytest.raises(ValueError, match=r"tokenizer .*broken\.json cannot be read: "):
        tokens.read(tmp_path / "broken.json")
    with pytest.raises(ValueError, match="length must be a positive integer, got 0"):
        tokens.trained(["a"], 9)(["a"], 0)
    with pytest.raises(ValueError, match="vocab_size must be at least 3, got 2"):
        tokens.trained(TEXTS, 2)
