"""Files that are damaged or hold something else: one line names the file, and nothing in them is executed."""

import json
import pickle
import struct

import numpy as np
import pytest
from trunk_weights import random_alexnet

from diffjax import pretrained
from diffjax.pretrained.files import WrongTensors, check_tensors, read_tensors

TENSORS = {"a.weight": np.arange(6, dtype="f").reshape(2, 3), "a.bias": np.ones(2, "f")}


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def same(found):
    return found.keys() == TENSORS.keys() and all(
        a.dtype == TENSORS[name].dtype and np.array_equal(a, TENSORS[name]) for name, a in found.items()
    )


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_any_flipped_bit_of_an_archive_is_harmless_or_refused(tmp_path, save):
    file = tmp_path / "model.npz"
    save(file, **TENSORS)
    whole, refused = file.read_bytes(), 0
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        file.write_bytes(flipped)
        try:
            assert same(read_tensors(file)), place
        except ValueError as error:
            assert "model.npz" in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > len(whole) / 2  # the rest are dates, attributes and the like


def test_nothing_in_a_pickle_is_executed(tmp_path):
    marker = tmp_path / "executed"
    content = pickle.dumps(Touch(marker))
    for name in ("model.npz", "model.pt", "model.safetensors"):
        pytest.importorskip({"model.pt": "torch", "model.safetensors": "safetensors"}.get(name, "numpy"))
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            read_tensors(tmp_path / name)
    np.savez(tmp_path / "model.npz", a=np.array([Touch(marker)], object))
    with pytest.raises(ValueError, match=r"model\.npz"):
        read_tensors(tmp_path / "model.npz")
    assert not marker.exists()


def test_torch_tensors_that_are_no_arrays_are_refused(tmp_path):
    torch = pytest.importorskip("torch", reason="needs the package torch")
    made = [{1: torch.zeros(3)}, [torch.zeros(3)], torch.nn.Linear(2, 2), {"a": torch.eye(3).to_sparse()}]
    made.append({"a": torch.zeros(3, device="meta")})
    for state in made:
        torch.save(state, tmp_path / "model.pt")
        with pytest.raises(ValueError, match=r"^path: model\.pt must be a whole torch file of tensors.*$"):
            read_tensors(tmp_path / "model.pt")


def test_short_formats_of_torch_are_read_and_integers_stay_integers(tmp_path):
    torch = pytest.importorskip("torch", reason="needs the package torch")
    values = torch.tensor([1.0, -2.5, 3.0e-3])
    state = {"half": values.half(), "brain": values.bfloat16(), "double": values.double()}
    torch.save({**state, "count": torch.arange(3)}, tmp_path / "model.pt")
    found = read_tensors(tmp_path / "model.pt")
    for name, tensor in state.items():
        np.testing.assert_array_equal(found[name], tensor.double().numpy(), err_msg=name)
    assert found["count"].dtype == np.int64


def safetensors(header, content=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


@pytest.mark.parametrize(
    "content",
    [
        safetensors({"a": {"dtype": "F7", "shape": [4], "data_offsets": [0, 4]}}, bytes(4)),
        safetensors({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, bytes(9)),
        safetensors([1, 2]),
        safetensors(b"\xff\xfe{}"),
        struct.pack("<Q", 2**60) + b"{}",
    ],
)
def test_improper_safetensors_are_refused(tmp_path, content):
    pytest.importorskip("safetensors", reason="needs the package safetensors")
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"^path: model\.safetensors must be a whole safetensors file.*$"):
        read_tensors(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    "bias, told",
    [
        (np.array([1, np.nan], "f"), "must be finite in float32; 1 of its 2 values are not"),
        (np.array([np.inf, -np.inf], "f"), "must be finite in float32; 2 of its 2 values are not"),
        (np.array([1, np.nan], "f2"), "must be finite in float32"),
        (np.array([1, 1e300]), "must be finite in float32"),
        (np.array([1, 2]), "must be floating point; got int64"),
        (np.array([1, 2], "u1"), "must be floating point; got uint8"),
        (np.array([True, False]), "must be floating point; got bool"),
        (np.array([1, 2j], "c8"), "must be floating point; got complex64"),
        (np.array(["1", "2"]), "must be floating point; got <U1"),
        (np.zeros(2, "M8[s]"), "must be floating point; got datetime64"),
    ],
)
def test_what_is_no_number_of_a_weight_is_refused_and_the_tensor_named(bias, told):
    shapes = {name: a.shape for name, a in TENSORS.items()}
    check_tensors(TENSORS, shapes)
    with pytest.raises(WrongTensors, match=rf"^checkpoint: a\.bias {told}"):
        check_tensors({**TENSORS, "a.bias": bias}, shapes)


@pytest.mark.parametrize(
    "change, told",
    [
        ({"AlexNet_0/Conv_1/bias": np.full(192, np.nan, "f")}, "AlexNet_0/Conv_1/bias must be finite"),
        ({"more": np.zeros(1, "f")}, r"1 left over \(more\)"),
        (
            {"NetLinLayer_0/Conv_0/kernel": np.full((1, 1, 64, 1), -1, "f")},
            "NetLinLayer_0.* must be 0 or more",
        ),
    ],
)
def test_load_names_the_file_too(tmp_path, change, told):
    np.savez(tmp_path / "alex.npz", **{**random_alexnet(), **change})
    for path in (tmp_path / "alex.npz", tmp_path):
        with pytest.raises(ValueError, match=rf"^checkpoint: .*{told}.* \[alex\.npz\]$"):
            pretrained.load(path, "lpips_alexnet")
