"""A source and what goes with its examples: named arrays, class names, rows, checksums."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import data

N = 6
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(256, size=(N, 4, 5, 3), dtype=np.uint8)
LABEL = np.array([0, 1, 2, 0, 1, 2], np.int32)
CAPTIONS = np.array([f"picture {i}" for i in range(N)])
ARRAYS = {
    "caption": CAPTIONS,
    "text_embedding": RNG.standard_normal((N, 3, 2), np.float32),
    "map": RNG.integers(9, size=(N, 4, 5), dtype=np.uint8),
    "tokens": RNG.integers(99, size=(N, 7), dtype=np.int32),
    "half": RNG.standard_normal((N, 2)).astype(np.float16),
    "low": RNG.integers(256, size=(N, 2, 3, 3), dtype=np.uint8),
    "weight": RNG.random(N, np.float32),
}
SOURCE = data.Source(PIXELS, LABEL, 3, "pets", ARRAYS, ("cat", "dog", "emu"))
LAZY = dataclasses.replace(SOURCE, x=data.LazyImages(lambda rows: PIXELS[rows], PIXELS.shape))


@pytest.mark.parametrize("source", [SOURCE, LAZY])
def test_batches_hold_numbers_and_no_strings(source):
    rows = np.array([4, 0, 4])
    batch = source.gather(rows)
    assert batch.keys() == {"x", "label", *ARRAYS} - {"caption"}
    np.testing.assert_array_equal(batch["x"], data.to_model(PIXELS[rows]))
    for name in batch.keys() - {"x", "label"}:
        np.testing.assert_array_equal(batch[name], ARRAYS[name][rows])
        assert batch[name].dtype == ARRAYS[name].dtype


def test_arrays_by_name():
    assert SOURCE["caption"] is CAPTIONS and SOURCE["x"] is PIXELS and SOURCE["label"] is LABEL
    with pytest.raises(ValueError, match="pets has no array 'captions', it has x, label, caption, "):
        SOURCE["captions"]
    with pytest.raises(ValueError, match=r"data has no array 'label', it has x$"):
        data.Source(PIXELS)["label"]


@pytest.mark.parametrize("source", [SOURCE, LAZY])
def test_what_lies_on_the_pixels_is_mirrored_with_them(source):
    rows, mirrored = np.array([1, 2, 3]), np.array([True, False, True])
    batch, plain = source.gather(rows, mirrored), source.gather(rows)
    for name in batch:
        expected = plain[name].copy()
        if name in ("x", "map", "low"):
            expected[mirrored] = expected[mirrored][:, :, ::-1]
        np.testing.assert_array_equal(batch[name], expected)
    np.testing.assert_array_equal(source["map"], ARRAYS["map"])


def test_arrays_travel_with_their_examples():
    whole = data.Source(
        np.arange(N, dtype=np.float32)[:, None], arrays={"again": np.arange(N, dtype=np.int32)}
    )
    for batch in [*data.epoch(whole, 4), next(data.batches(whole, 4, seed=3))]:
        np.testing.assert_array_equal(batch["x"][:, 0], batch["again"])


def test_adding_leaves_the_source_as_it_was():
    new = np.zeros((N, 2), np.int32)
    more = SOURCE.add(tokens=new, other=new)
    assert more["tokens"] is new and more["other"] is new and more["map"] is ARRAYS["map"]
    assert SOURCE["tokens"] is ARRAYS["tokens"] and "other" not in SOURCE.arrays
    assert more.class_names == SOURCE.class_names and more.x is PIXELS


@pytest.mark.parametrize("source", [SOURCE, LAZY])
def test_taking_rows(source):
    rows = np.array([5, 0, 0, 3])
    part = source.take(rows)
    assert len(part) == 4 and part.name == "pets" and part.class_names == source.class_names
    assert part.num_classes == 3 and type(part.x) is type(source.x)
    assert len(source.first(2)) == 2 and len(source.first(99)) == len(source)
    np.testing.assert_array_equal(part.x, PIXELS[rows])
    np.testing.assert_array_equal(part.take(np.array([1, 0])).x[0], PIXELS[0])
    for name in ("label", *ARRAYS):
        np.testing.assert_array_equal(part[name], source[name][rows])


@pytest.mark.parametrize(
    "rows, message",
    [
        ([6], r"indices must be in 0\.\.5, got values from 6 to 6"),
        ([-1, 2], r"indices must be in 0\.\.5, got values from -1 to 2"),
        (np.zeros(0, int), r"indices must be in 0\.\.5, got none"),
        ([0.5], r"Source\.take: indices must be an integer array .*, got float64\[1\]"),
        ([True] * N, r"got bool\[6\]"),
        ([[0]], r"got int64\[1, 1\]"),
    ],
)
def test_rows_that_are_not_there_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        SOURCE.take(np.array(rows))


def test_taking_lazy_rows_decodes_only_what_is_asked_for():
    decoded = []
    images = data.LazyImages(lambda rows: (decoded.extend(rows.tolist()), PIXELS[rows])[1], PIXELS.shape)
    part = data.Source(images).take(np.array([5, 1, 3]))
    assert decoded == []
    part.x[1:]
    images[np.array([1, 3])]
    assert sorted(decoded) == [1, 3]


def _with(**changes):
    return lambda source: dataclasses.replace(source, **changes)


def _pixel(source):
    pixels = np.array(source.x)
    pixels[3, 1, 2, 0] ^= 1
    return dataclasses.replace(source, x=pixels)


@pytest.mark.parametrize(
    "change",
    [
        _pixel,
        _with(x=PIXELS[:, ::-1]),
        _with(x=PIXELS.reshape(N, 5, 4, 3)),
        _with(label=LABEL[::-1].copy()),
        _with(label=None, num_classes=None, class_names=None),
        _with(arrays={}),
        _with(arrays={**ARRAYS, "caption": CAPTIONS[::-1]}),
        _with(arrays={**ARRAYS, "weight": ARRAYS["weight"].astype(np.float16)}),
        lambda source: source.take(np.arange(N - 1)),
    ],
)
def test_other_data_have_another_fingerprint(change):
    assert change(SOURCE).fingerprint() != SOURCE.fingerprint()


def test_names_and_places_are_no_data():
    wide = CAPTIONS.astype("<U99")
    moved = dataclasses.replace(
        SOURCE, name="elsewhere", arrays={**ARRAYS, "caption": wide}, class_names=None
    )
    assert moved.fingerprint() == SOURCE.fingerprint()
    assert len(SOURCE.fingerprint()) == 16 and SOURCE.fingerprint().isalnum()


def test_big_arrays_are_not_read_whole(monkeypatch):
    monkeypatch.setattr(data.fingerprints, "_WHOLE_BYTES", 10 * PIXELS[0].nbytes)
    pixels = RNG.integers(256, size=(1000, 4, 5, 3), dtype=np.uint8)
    first = data.Source(pixels).fingerprint()
    for row, seen in ((0, True), (999, True), (1, False)):
        other = pixels.copy()
        other[row] ^= 1
        assert (data.Source(other).fingerprint() != first) == seen


def _never(rows):
    raise AssertionError("an image was decoded")


def test_images_yet_to_be_decoded_are_known_by_their_marks():
    marks = [b"one", b"two", b"three"]
    mark = lambda rows: b" ".join(marks[row] for row in rows)
    read = lambda found: data.Source(data.LazyImages(_never, (3, 2, 2, 1), found))
    first = read(mark).fingerprint()
    assert read(mark).fingerprint() == first
    taken = read(mark).take(np.array([2, 0]))
    assert taken.fingerprint() != first and taken.take(np.array([0])).fingerprint() != taken.fingerprint()
    marks[1] = b"other"
    assert read(mark).fingerprint() != first
    assert taken.fingerprint() == read(mark).take(np.array([2, 0])).fingerprint()


@pytest.mark.parametrize(
    "fields, message",
    [
        (
            {"x": PIXELS[..., [0, 1, 2, 0]]},
            r"uint8 images must have 1 channel or 3, got 4 in shape \(6, 4, 5, 4\)",
        ),
        ({"x": PIXELS[..., :2]}, "must have 1 channel or 3, got 2"),
        (
            {"arrays": {"map": np.zeros(N - 1, np.uint8)}},
            r'array "map" must be \[6, \.\.\.\], got shape \(5,\)',
        ),
        ({"arrays": {"map": np.array(3)}}, r'array "map" must be \[6, \.\.\.\], got shape \(\)'),
        ({"arrays": {"map": np.array([{}] * N)}}, "must be of strings or bool, .*, float32, got object"),
        ({"arrays": {"map": np.zeros(N, np.int64)}}, "must be of strings or .*, got int64"),
        ({"arrays": {"map": np.zeros(N)}}, "must be of strings or .*, got float64"),
        (
            {"arrays": {"map": np.full(N, np.inf, np.float32)}},
            'array "map" must be finite, got values from inf',
        ),
        ({"arrays": {"x": LABEL}}, """names other than "x" and "label", got 'x'"""),
        ({"class_names": ("cat", "dog")}, "class_names must be 3 different names, got cat, dog"),
        ({"class_names": ("cat", "dog", "cat")}, "class_names must be 3 different names, got cat, dog, cat"),
        ({"label": None, "num_classes": None}, "class_names need labels, and there are none"),
    ],
)
def test_what_does_not_fit_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SOURCE, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"x": [[0.0]] * N},
        {"x": jnp.zeros((N, 2))},
        {"label": [0] * N},
        {"arrays": {"map": np.uint8(3)}},
        {"arrays": {"map": [0] * N}},
        {"arrays": {3: LABEL}},
        {"class_names": ["cat", "dog", "emu"]},
        {"class_names": (0, 1, 2)},
    ],
)
def test_what_is_of_another_kind_is_refused(fields):
    """Where annotations are checked, as in these tests, that is said before the source can say it."""
    (name,) = fields
    with pytest.raises((ValueError, TypeError), match=name.removesuffix("s")):
        dataclasses.replace(SOURCE, **fields)
