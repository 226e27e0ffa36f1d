"""Order, shards, flips and resumption of the training stream."""

import gc
import itertools
import json
import threading
import time

import numpy as np
import pytest

from diffjax import data
from diffjax.data import pipeline

N = 23
IDENTITY = data.Source(np.arange(N, dtype=np.float32)[:, None], np.arange(N, dtype=np.int32), N, "identity")

# The one lit pixel of an image lies on the left, so a batch shows which of its images are flipped.
_PIXELS = np.zeros((N, 2, 3, 1), np.uint8)
_PIXELS[:, 1, 0, 0] = np.arange(1, N + 1)
IMAGES = data.Source(_PIXELS, np.arange(N, dtype=np.int32), N, "images")


def _take(iterator, count):
    return list(itertools.islice(iterator, count))


def _labels(found):
    return np.concatenate([batch["label"] for batch in found])


def _assert_same(found, expected):
    assert len(found) == len(expected) > 0
    for a, b in zip(found, expected, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


def _flips(found):
    """{(epoch, index): flipped} read off the pixels of a stream from its start."""
    flips = {}
    images = np.concatenate([batch["x"] for batch in found])
    for position, (x, label) in enumerate(zip(images, _labels(found))):
        left, right = x[1, 0, 0] > -1, x[1, 2, 0] > -1
        assert left != right
        flips[position // N, int(label)] = bool(right)
    return flips


def test_batches_hold_the_right_rows():
    for batch in _take(data.batches(IMAGES, 4, seed=0), 20):
        assert batch["x"].dtype == np.float32 and batch["label"].dtype == np.int32
        np.testing.assert_array_equal(batch["x"], data.to_model(_PIXELS[batch["label"]]))


def test_no_label_without_labels():
    source = data.Source(np.zeros((8, 2), np.float32))
    assert set(next(data.batches(source, 4, seed=0))) == {"x"}
    assert set(next(data.epoch(source, 4))) == {"x"}


def test_the_seed_decides_the_order():
    one, same, other = (_take(data.batches(IDENTITY, 4, seed=s), 20) for s in (5, 5, 6))
    _assert_same(one, same)
    assert not np.array_equal(_labels(one), _labels(other))


@pytest.mark.parametrize("batch_size", [1, 4, N])
def test_every_epoch_is_another_permutation(batch_size):
    found = _labels(_take(data.batches(IDENTITY, batch_size, seed=1), 5 * N // batch_size))
    epochs = [found[e * N : (e + 1) * N] for e in range(4)]
    for order in epochs:
        assert sorted(order) == list(range(N))
    assert len({tuple(order) for order in [range(N), *epochs]}) == 5


def test_the_order_does_not_depend_on_the_batch_size():
    short, long = (_labels(_take(data.batches(IDENTITY, b, seed=2), 60 // b)) for b in (3, 20))
    np.testing.assert_array_equal(short, long)


def test_unshuffled_keeps_the_sources_order():
    found = _labels(_take(data.batches(IDENTITY, 5, seed=0, shuffle=False), 10))
    np.testing.assert_array_equal(found, np.arange(50) % N)


@pytest.mark.parametrize("shard_count", [2, 4])
def test_shards_in_order_are_the_batch_of_one_process(shard_count):
    whole = _take(data.batches(IMAGES, 8, seed=3, flip=True), 12)
    shards = [
        _take(data.batches(IMAGES, 8, seed=3, flip=True, shard_index=i, shard_count=shard_count), 12)
        for i in range(shard_count)
    ]
    assert all(batch["x"].shape[0] == 8 // shard_count for shard in shards for batch in shard)
    joined = [{k: np.concatenate([part[k] for part in parts]) for k in parts[0]} for parts in zip(*shards)]
    _assert_same(joined, whole)


def test_shards_of_one_epoch_are_disjoint_and_drop_only_the_remainder():
    shards = [
        list(data.batches(IDENTITY, 6, seed=0, repeat=False, shard_index=i, shard_count=3)) for i in range(3)
    ]
    assert [len(shard) for shard in shards] == [N // 6] * 3
    found = np.concatenate([_labels(shard) for shard in shards])
    assert len(set(found)) == len(found) == N // 6 * 6


@pytest.mark.parametrize("stop", [0, 1, 9])
@pytest.mark.parametrize("source, flip", [(IDENTITY, False), (IMAGES, True)])
def test_resumes_in_mid_epoch(source, flip, stop):
    first = data.batches(source, 4, seed=8, flip=flip)
    _take(first, stop)
    state = json.loads(json.dumps(first.get_state()))
    assert len(json.dumps(state)) < 200
    expected = _take(first, 15)

    second = data.batches(source, 4, seed=8, flip=flip)
    _take(second, 3)  # a prefetched batch must not slip through
    second.set_state(state)
    assert second.get_state() == state
    _assert_same(_take(second, 15), expected)
    first.set_state(state)
    _assert_same(_take(first, 15), expected)


def test_resumes_on_another_number_of_processes():
    first = data.batches(IDENTITY, 4, seed=8)
    _take(first, 7)
    shards = [data.batches(IDENTITY, 4, seed=8, shard_index=i, shard_count=2) for i in range(2)]
    for shard in shards:
        shard.set_state(first.get_state())
    np.testing.assert_array_equal(np.concatenate([next(s)["label"] for s in shards]), next(first)["label"])


def test_another_batch_size_goes_on_where_the_old_one_stopped():
    """Twice, and once more from the state of that: no example is shown twice or left out."""
    shown, state = [], None
    for batch_size, batches in ((4, 7), (6, 5), (4, 3), (4, 2)):
        stream = data.batches(IDENTITY, batch_size, seed=8)
        if state is not None:
            stream.set_state(state)
        shown += [label for batch in _take(stream, batches) for label in batch["label"]]
        state = stream.get_state()
    whole = data.batches(IDENTITY, 1, seed=8)
    assert shown == [int(batch["label"][0]) for batch in _take(whole, len(shown))]
    with pytest.raises(ValueError, match="batch_size is 5 here, but 4 in the state"):
        data.batches(IDENTITY, 5, seed=8, repeat=False).set_state({**state, "repeat": False})


def test_resumes_at_the_end_of_the_only_epoch():
    first = data.batches(IDENTITY, 10, seed=0, repeat=False)
    assert len(list(first)) == 2
    second = data.batches(IDENTITY, 10, seed=0, repeat=False)
    second.set_state(first.get_state())
    assert list(second) == []


@pytest.mark.parametrize("field, change", [("seed", {"seed": 1}), ("shuffle", {"shuffle": False})])
def test_refuses_the_state_of_another_stream(field, change):
    options = {"batch_size": 4, "seed": 0, "shuffle": True}
    state = data.batches(IDENTITY, **options | change).get_state()
    expected = f"{field} is {options[field]} here, but {change[field]} in the state"
    with pytest.raises(ValueError, match=expected):
        data.batches(IDENTITY, **options).set_state(state)


CHANGED = data.Source(IMAGES.x ^ np.uint8(1), IMAGES.label, N, "images")
FEWER = IMAGES.take(np.arange(N - 1))


@pytest.mark.parametrize("field, other", [("data", CHANGED), ("num_examples", FEWER)])
def test_refuses_other_data_and_says_how_to_go_on(field, other):
    state = data.batches(IMAGES, 4, seed=0).get_state()
    with pytest.raises(
        ValueError, match=rf"^{field} is .* here, but .* not the data that the run began with; put"
    ):
        data.batches(other, 4, seed=0).set_state(state)


def test_other_data_are_read_where_they_are_accepted():
    first = data.batches(IMAGES, 4, seed=0)
    _take(first, 9)
    resumed, expected = data.batches(FEWER, 4, seed=0), data.batches(FEWER, 4, seed=0)
    resumed.set_state(first.get_state(), accept=("data", "num_examples"))
    _take(expected, 9)
    _assert_same(_take(resumed, 3), _take(expected, 3))


def test_moved_and_renamed_data_are_the_same_stream():
    state = data.batches(IMAGES, 4, seed=0).get_state()
    data.batches(data.Source(_PIXELS.copy(), IMAGES.label, N, "moved"), 4, seed=0).set_state(state)


def test_a_state_that_does_not_know_its_data_is_resumed():
    first = data.batches(IMAGES, 4, seed=0)
    _take(first, 3)
    state = first.get_state()
    del state["data"]  # as runs before wrote it
    second = data.batches(IMAGES, 4, seed=0)
    second.set_state(state)
    _assert_same(_take(second, 2), _take(first, 2))


def test_flips_are_fair_and_new_every_epoch():
    epochs = 40
    flips = _flips(_take(data.batches(IMAGES, N, seed=0, flip=True), epochs))
    total = epochs * N
    assert abs(sum(flips.values()) - total / 2) < 3 * np.sqrt(total) / 2
    for index in range(N):
        assert len({flips[epoch, index] for epoch in range(epochs)}) == 2
    assert len({tuple(flips[epoch, i] for i in range(N)) for epoch in range(epochs)}) == epochs


def test_flips_depend_on_seed_index_and_epoch_alone():
    one, other = (_flips(_take(data.batches(IMAGES, b, seed=4, flip=True), 3 * N // b)) for b in (1, 3))
    assert len(other) == 3 * N and one == other
    unshuffled = _flips(_take(data.batches(IMAGES, 3, seed=4, flip=True, shuffle=False), N))
    assert unshuffled == other
    assert one != _flips(_take(data.batches(IMAGES, 1, seed=5, flip=True), 3 * N))


def test_flips_mirror_whole_images_and_spare_the_source():
    pixels = np.random.default_rng(0).integers(256, size=(N, 4, 5, 3), dtype=np.uint8)
    source = data.Source(pixels.copy(), np.arange(N, dtype=np.int32), N)
    batch = next(data.batches(source, N, seed=0, flip=True))
    plain = data.to_model(pixels[batch["label"]])
    kept = np.all(batch["x"] == plain, axis=(1, 2, 3))
    mirrored = np.all(batch["x"] == plain[:, :, ::-1], axis=(1, 2, 3))
    assert np.all(kept != mirrored) and 0 < mirrored.sum() < N
    np.testing.assert_array_equal(source.x, pixels)


@pytest.mark.parametrize("batch_size", [1, 7, N, 100])
def test_epoch_is_everything_once_in_order(batch_size):
    found = list(data.epoch(IMAGES, batch_size))
    assert [len(batch["x"]) for batch in found[:-1]] == [batch_size] * (len(found) - 1)
    np.testing.assert_array_equal(_labels(found), np.arange(N))
    np.testing.assert_array_equal(np.concatenate([b["x"] for b in found]), data.to_model(_PIXELS))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 24}, "batch_size must be in 1..23, the size of identity, got 24"),
        ({"batch_size": 0}, "batch_size must be in 1..23"),
        ({"batch_size": 4, "shard_count": 3}, "batch_size must be a multiple of shard_count 3, got 4"),
        ({"batch_size": 4, "shard_count": 2, "shard_index": 2}, "shard_index must be in .* 0..1, got 2"),
        ({"batch_size": 4, "seed": -1}, "seed must be in 0..2.*, got -1"),
        ({"batch_size": 4, "flip": True}, r"flip needs images .* but identity has shape \(23, 1\)"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        data.batches(IDENTITY, **{"seed": 0} | options)


def test_epoch_refuses_an_empty_batch():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        data.epoch(IDENTITY, 0)


def _reading(read, n=100):
    """A source of numbers 0..n-1 that calls `read(first row)` for every batch."""

    def decode(rows):
        read(int(rows[0]))
        return np.broadcast_to(rows[:, None, None, None], (len(rows), 1, 1, 1)).astype(np.uint8)

    return data.Source(data.LazyImages(decode, (n, 1, 1, 1)), name="numbers")


def _slow(read, count):
    """Seconds to take and use `count` batches that take 20 ms to read and 20 ms to use."""
    stream = data.batches(_reading(read), 4, seed=0, shuffle=False)
    start = time.perf_counter()
    for _ in range(count):
        next(stream)
        time.sleep(0.02)
    return time.perf_counter() - start


def test_the_next_batches_are_read_while_one_is_used():
    """One after the other, 20 batches would take 0.8 seconds; at the same time, 0.42."""
    assert min(_slow(lambda first: time.sleep(0.02), 20) for _ in range(3)) < 0.6


def test_reading_ahead_is_bounded():
    started = []
    stream = data.batches(_reading(started.append), 4, seed=0, shuffle=False)
    next(stream)
    deadline = time.monotonic() + 10
    while len(started) < 1 + pipeline._AHEAD and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)  # were there no bound, more would start now
    assert sorted(started) == [4 * k for k in range(1 + pipeline._AHEAD)]


def test_errors_of_the_reading_threads_reach_the_caller_and_lose_no_batch():
    broken = {12, 20}

    def read(first):
        if first in broken:
            raise OSError(f"cannot read {first}")

    stream = data.batches(_reading(read), 4, seed=0, shuffle=False)
    found = []
    for _ in range(8):
        try:
            found.append(int(data.to_uint8(next(stream)["x"])[0, 0, 0, 0]))
        except OSError as error:
            row = int(str(error).removeprefix("cannot read "))
            assert stream.get_state()["next_batch"] == row // 4 == len(found)
            broken.remove(row)  # mended: the same batch can be read now
    assert found == [0, 4, 8, 12, 16, 20] and not broken


@pytest.mark.parametrize("end", ["close", "drop", "finish"])
def test_threads_end_with_the_iterator(end):
    before = set(threading.enumerate())
    stream = data.batches(_reading(lambda first: time.sleep(0.01)), 4, seed=0, repeat=end != "finish")
    next(stream)
    threads = set(threading.enumerate()) - before
    assert threads
    if end == "close":
        stream.close()
    else:
        if end == "finish":
            list(stream)
        del stream
        gc.collect()
    deadline = time.monotonic() + 10
    while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(thread.is_alive() for thread in threads)
