"""A file is written completely or not at all, whatever happens."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import files_no_longer_than

from jaxmlp.storage.files import StorageError, read_arrays, require_writable, write_arrays, write_bytes


def test_arrays_of_every_dtype_and_rank_come_back_to_the_bit(tmp_path):
    dtypes = (jnp.bfloat16, np.float32, np.float64, np.int32, np.uint32, np.bool_)
    arrays = {f"{np.dtype(dtype)} {shape}": np.ones(shape, dtype) for dtype in dtypes for shape in ((), (2, 3), (0, 2))}
    arrays["transposed"] = np.arange(6.0).reshape(2, 3).T
    write_arrays(tmp_path / "file", arrays, {"name": "née\n{}"})
    loaded, metadata = read_arrays(tmp_path / "file")
    assert metadata == {"name": "née\n{}"}
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (loaded[name].shape, loaded[name].dtype) == (array.shape, array.dtype), name
        np.testing.assert_array_equal(loaded[name], array)


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with files_no_longer_than(1000), pytest.raises(StorageError, match=rf"^cannot write {path}: File too large$"):
        write_bytes(path, bytes(2000))
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_what_is_no_file_is_not_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (pathlib.Path("/dev/null"), tmp_path / "folder", pathlib.Path("/proc/file")):
        for write in (require_writable, lambda path: write_bytes(path, b"new")):
            with pytest.raises(StorageError, match=f"^cannot write {path}: "):
                write(path)


def test_a_test_for_writing_leaves_nothing_behind(tmp_path):
    write_bytes(tmp_path / "file", b"old")
    require_writable(tmp_path / "file")
    require_writable(tmp_path / "new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_errors_are_one_line_with_the_name_of_the_file(tmp_path):
    with pytest.raises(StorageError, match=r"cannot write .*: No such file or directory"):
        write_bytes(tmp_path / "none" / "file", b"")
    with pytest.raises(StorageError, match=r"cannot read .*: Is a directory"):
        read_arrays(tmp_path)
    (tmp_path / "text").write_text("some text, longer than eight bytes")
    with pytest.raises(StorageError, match="is damaged, or no safetensors file"):
        read_arrays(tmp_path / "text")


def test_ctrl_c_while_writing_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "file", b"new")
    assert not list(tmp_path.iterdir())
