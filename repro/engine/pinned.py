"""Inputs that not everyone may have: where a person gets them, and how to pin what was got.

ImageNet may not be given away, and so its digest is not in the specs that come with the package.
"""

from pathlib import Path

from attrs import frozen

from repro.engine.progress import Progress
from repro.errors import ResourceError
from repro.spec.data import ImageNetFolder
from repro.spec.encoder import LibraryEncoder
from repro.spec.evaluate import TorchvisionInception
from repro.spec.fields import UNPINNED

Pinned = ImageNetFolder | LibraryEncoder | TorchvisionInception

ARCHIVES = (
    "ILSVRC2012_img_train.tar",
    "ILSVRC2012_img_val.tar",
    "ILSVRC2012_devkit_t12.tar.gz",
)
DIGEST_OF_FOLDER = "from repro.engine.features.library import weights_digest as digest"


@frozen(kw_only=True)
class PinnedNeed:
    """A file or a folder of the user's whose digest the spec may not know yet."""

    spec: Pinned
    fetchable: bool = False

    @property
    def name(self) -> str:
        return self.spec.path

    @property
    def how_to_get(self) -> str:
        ways = []
        if not Path(self.name).exists():
            ways.append(f"no such file or folder; {source(self.spec)}")
        if self.spec.digest == UNPINNED:
            ways.append(
                f"its content is not pinned: run {digesting(self.spec)} and write the 64 digits"
                " that it prints into the spec and the files that it extends or names, as"
                f' digest = "sha256:..." wherever "{UNPINNED}" stands beside this path'
            )
        return f"{self.name}: {'; then, '.join(ways)}"

    def present(self, cache: Path) -> bool:
        del cache
        return Path(self.name).exists() and self.spec.digest != UNPINNED

    def fetch(self, cache: Path, *, offline: bool, progress: Progress) -> None:
        raise ResourceError(self.how_to_get)


def source(spec: Pinned) -> str:
    """The ways to get it, as one line."""
    match spec:
        case ImageNetFolder(path=path):
            root, split = Path(path).parent, Path(path).name
            unpack = f"from torchvision.datasets import ImageNet; ImageNet('{root}', '{split}')"
            return (
                "sign up at https://image-net.org/download-images, put the archives of ILSVRC2012"
                f' ({", ".join(ARCHIVES)}) into {root}/ and run `python -c "{unpack}"`, which'
                " checks and unpacks them (it needs scipy); or link a copy:"
                f" `ln -s COPY {path}`; or correct the path in the spec"
            )
        case LibraryEncoder(library="timm", path=path, model=model):
            file = "model.safetensors"
            return (
                f"run `hf download timm/{model} {file} --local-dir FOLDER` and"
                f" `mv FOLDER/{file} {path}`, or correct the path in the spec"
            )
        case TorchvisionInception(path=path):
            code = (
                "from safetensors.torch import save_file; from torchvision.models import"
                f" inception_v3; save_file(inception_v3(weights='DEFAULT').state_dict(), '{path}')"
            )
            return f'run `python -c "{code}"`, or correct the path in the spec'
        case _:
            return "put it there or correct the path in the spec"


def digesting(spec: Pinned) -> str:
    """The command that prints the digest of what is there."""
    match spec:
        case ImageNetFolder(path=path):
            listed = r"find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum"
            return f"`cd {path} && {listed} | sha256sum`"
        case LibraryEncoder(library="transformers", path=path):
            code = f"from pathlib import Path; {DIGEST_OF_FOLDER}; print(digest(Path('{path}')))"
            return f'`python -c "{code}"`'
        case _:
            return f"`sha256sum {spec.path}`"
