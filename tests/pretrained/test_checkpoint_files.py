"""Reading tensors from files and folders."""

import builtins
import pathlib

import numpy as np
import pytest

from diffjax.pretrained.files import read_tensors

TENSORS = {"a.weight": np.arange(6, dtype="f").reshape(2, 3), "a.bias": np.ones(2, "f")}


@pytest.fixture
def file(tmp_path):
    save_file = pytest.importorskip("safetensors.numpy", reason="needs the package safetensors").save_file
    save_file(TENSORS, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def check(tensors):
    assert tensors.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], array)


def test_a_file_a_string_and_a_folder_with_one_file_read_alike(file):
    (file.parent / "config.json").write_text("{}")
    check(read_tensors(file))
    check(read_tensors(str(file)))
    check(read_tensors(file.parent))


def test_torch_state_dicts_are_read(tmp_path):
    torch = pytest.importorskip("torch", reason="needs the package torch")
    torch.save({name: torch.from_numpy(a) for name, a in TENSORS.items()}, tmp_path / "model.pt")
    check(read_tensors(tmp_path / "model.pt"))
    torch.save({"state": 1}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"path: model\.pt must hold a state dict"):
        read_tensors(tmp_path / "model.pt")


DAMAGES = {
    "half": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "page": lambda whole: b"<html>",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused(file, damage):
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    with pytest.raises(ValueError, match=r"path: model\.safetensors must be a whole safetensors file"):
        read_tensors(file)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_torch_files_are_refused(tmp_path, damage, zipped):
    """In torch's format of today, and in that of 2018 which the published InceptionV3 may have."""
    torch = pytest.importorskip("torch", reason="needs the package torch")
    file = tmp_path / "model.pth"
    state = {name: torch.from_numpy(a) for name, a in TENSORS.items()}
    torch.save(state, file, _use_new_zipfile_serialization=zipped)
    check(read_tensors(file))
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    with pytest.raises(ValueError, match=r"path: model\.pth must be a whole torch file of tensors"):
        read_tensors(file)


def test_torch_files_that_would_run_code_are_refused(tmp_path):
    torch = pytest.importorskip("torch", reason="needs the package torch")
    torch.save({"a.weight": pathlib.PurePosixPath("a")}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"path: model\.pt must be a whole torch file of tensors"):
        read_tensors(tmp_path / "model.pt")


def test_folders_with_none_or_several_files_are_refused(file, tmp_path):
    (tmp_path / "second.pt").touch()
    with pytest.raises(ValueError, match=r"must hold one .*; .* has model\.safetensors, second\.pt"):
        read_tensors(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has none"):
        read_tensors(tmp_path / "empty")


def test_other_files_and_missing_ones_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        read_tensors(tmp_path / "model.safetensors")
    (tmp_path / "model.bin").touch()
    with pytest.raises(ValueError, match=r"path: must end in one of .*; got model\.bin"):
        read_tensors(tmp_path / "model.bin")


@pytest.mark.parametrize("suffix, package", [(".safetensors", "safetensors"), (".pt", "torch")])
def test_a_missing_package_is_named(tmp_path, monkeypatch, suffix, package):
    original = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return original(name, *args, **kwargs)

    (tmp_path / f"model{suffix}").touch()
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=f"pip install {package}"):
        read_tensors(tmp_path / f"model{suffix}")


def test_numpy_archives_are_read_and_others_refused(tmp_path):
    np.savez(tmp_path / "model.npz", **TENSORS)
    check(read_tensors(tmp_path / "model.npz"))
    (tmp_path / "model.npz").write_bytes(b"PK half a file")
    with pytest.raises(ValueError, match=r"path: model\.npz must be an \.npz file of arrays"):
        read_tensors(tmp_path / "model.npz")
    np.savez(tmp_path / "model.npz", a=np.array([None]))
    with pytest.raises(ValueError, match=r"path: model\.npz must be an \.npz file of arrays"):
        read_tensors(tmp_path / "model.npz")
