"""One extractor with random weights for all of these tests: building it takes seconds."""

import numpy as np
import pytest

from repro.engine.evaluation.extractor import Extractor, extract, open_extractor
from repro.engine.evaluation.images import Images
from repro.engine.evaluation.weights import Tensors
from repro.spec.evaluate import InceptionV3Compat
from tests.engine.evaluation.fakes import some_images

RANDOM = InceptionV3Compat(inception_weights="none")


@pytest.fixture(scope="session")
def tensors() -> Tensors:
    """The stable random initialisation of the network."""
    from repro.engine.evaluation.network import random_tensors

    return random_tensors()


@pytest.fixture(scope="session")
def extractor() -> Extractor:
    """The extractor of that initialisation, on the CPU."""
    return open_extractor(RANDOM, weights_path=None, backend="torch")


@pytest.fixture(scope="session")
def images() -> Images:
    """Eight images to measure."""
    return some_images(8, seed=2)


@pytest.fixture(scope="session")
def pool3(extractor: Extractor, images: Images) -> np.ndarray:
    """Their features, in one batch."""
    return extract(extractor, images, batch_size=8).pool3
