"""A spec made small: the same stages and kinds, in minutes on a CPU.

Sizes are capped where a field says so (`rehearsal=`). Data become a stand-in of the same layout,
ready-made references become statistics of one, and extractor and autoencoder need no weights. Two
steps of a sampler cannot pass calibration, so they may be biased here; nothing measured is
evidence.
"""

import math
from typing import Any, TypeVar

from attrs import evolve, fields, has

from repro.spec.autoencoder import (
    AutoencoderKl,
    KlArchitecture,
    TrainedAutoencoderKl,
    UntrainedAutoencoderKl,
)
from repro.spec.conditional import (
    RandomTable,
    UNet2DConditional,
    UNetStl10,
    VectorTable,
    classes_told,
)
from repro.spec.data import ImageSet, Latents, StandIn, Stl10
from repro.spec.document import Spec
from repro.spec.edm import Heun, UNet2DSigma
from repro.spec.encoder import LibraryEncoder, PretrainedEncoder, singles
from repro.spec.evaluate import (
    CompatAsTorchvision,
    DatasetReference,
    Evaluate,
    FileReference,
    InceptionV3Compat,
    Protocol,
    ShippedReference,
    TorchvisionInception,
)
from repro.spec.fields import REHEARSAL
from repro.spec.init import Init, first_step, saved_steps
from repro.spec.layout import LEAST_GRID, doublings, layout, reduction
from repro.spec.network import NUM_CLASSES, ConvEncoder, ConvGenerator, Dit, Mae, UNet2D
from repro.spec.objective import REHEARSED_LEVELS
from repro.spec.path import Tabulated
from repro.spec.probe import Probe
from repro.spec.probes.denoising import DenoisingCollage, LabelSensitivity, Reconstruction

Reader = TypeVar("Reader", Evaluate, Probe)
"""What reads checkpoints."""

COARSEST_SIDE = 4
PATCHES_PER_SIDE = 4
NUM_IMAGES = 64
NUM_TEST_IMAGES = 32
NUM_FEATURES = 8
TABLE_DIM = 16
STL10_SIDE = 32
"""A third of what it is: a network that attends to 48 x 48 places takes minutes a batch."""
OWN_ENCODER = ConvEncoder(channels=(8, 8), steps=2, batch_size=8)
"""In the place of one that needs a library and a file of weights."""


def rehearsal(spec: Spec) -> Spec:
    """The same plan, small."""
    files = _assumed_layout(spec)
    small: Spec = _small(spec, files)
    if small.reference and small.protocol is None:  # the standard Inception would make it
        extractor = InceptionV3Compat(inception_weights="none")
        small = evolve(small, protocol=Protocol(reference=small.reference, extractor=extractor))
    if spec.init and small.init and small.train:
        init = _nearest_checkpoint(small.init, spec.init)
        train = evolve(small.train, steps=first_step(init) + small.train.steps)
        small = evolve(small, init=init, train=train)
    if spec.train and small.train:
        kept = tuple(_fewer_checkpoints(each, spec, small) for each in small.evaluate)
        asked = tuple(_fewer_checkpoints(each, spec, small) for each in small.probe)
        small = evolve(small, evaluate=kept, probe=asked)
    return small


def _small(value: Any, files: StandIn) -> Any:
    match value:
        case PretrainedEncoder(run=run) | Init(run=run) | TrainedAutoencoderKl(run=run):
            return evolve(value, run=rehearsal(run))
        case LibraryEncoder():
            return OWN_ENCODER
        case VectorTable():
            return _random_table(value)
        case _:
            return _smaller(value, files)


def _smaller(value: Any, files: StandIn) -> Any:
    if isinstance(value, tuple):
        return tuple(_small(item, files) for item in value)
    if isinstance(value, ImageSet):
        return _stand_in(value, files)
    if not has(type(value)):
        return value
    changes = {}
    for each in fields(type(value)):
        inner = _small(getattr(value, each.name), files)
        cap = each.metadata.get(REHEARSAL)
        changes[each.name] = inner if cap is None else _capped(inner, cap)
    return _replaced(_on_levels(evolve(value, **changes)), files)


def _capped(value: Any, cap: int) -> Any:
    match value:
        case tuple():
            return tuple(_capped(item, cap) for item in value)
        case int():
            return min(value, cap)
        case _:
            return value


def _replaced(value: Any, files: StandIn) -> Any:
    match value:
        case ShippedReference() | FileReference():
            return DatasetReference(data=files, num_features=NUM_FEATURES)
        case InceptionV3Compat() | TorchvisionInception() | CompatAsTorchvision():
            return InceptionV3Compat(inception_weights="none")
        case AutoencoderKl(architecture=architecture):
            return UntrainedAutoencoderKl(architecture=architecture)
        case _ if hasattr(value, "allow_biased"):
            return evolve(_with_rows(value), allow_biased=True)
        case UNet2D() | UNet2DConditional() | UNet2DSigma() | UNetStl10() | KlArchitecture():
            return _divided(value)
        case _:
            return value


def _on_levels(value: Any) -> Any:
    """A probe that looks at levels, on those that the short schedule has."""
    if not isinstance(value, DenoisingCollage | Reconstruction | LabelSensitivity):
        return value
    levels = (min(level, REHEARSED_LEVELS - 1) for level in value.levels)
    return evolve(value, levels=tuple(dict.fromkeys(levels)))


def _divided(network: Any) -> Any:
    """Groups and heads that still divide the widths."""
    names = [name for name in ("norm_groups", "num_heads") if hasattr(network, name)]
    parts = {name: math.gcd(getattr(network, name), *network.channels) for name in names}
    return evolve(network, **parts)


def _random_table(table: VectorTable) -> RandomTable:
    return RandomTable(
        num_classes=len(table.rows), num_tokens=table.num_tokens, dim=min(table.dim, TABLE_DIM)
    )


def _with_rows(sampler: Any) -> Any:
    """The sampler, with as many rows as steps if its path is a table."""
    match sampler:
        case Heun(path=Tabulated(sigmas=sigmas) as path):
            return evolve(sampler, path=evolve(path, sigmas=sigmas[: sampler.steps]))
        case _:
            return sampler


def _stand_in(data: ImageSet, files: StandIn) -> StandIn:
    shape = layout(data)
    if shape is None:
        return files
    if isinstance(data, Stl10):
        shape = evolve(shape, height=STL10_SIDE, width=STL10_SIDE)
    most = NUM_TEST_IMAGES if getattr(data, "split", "train") == "test" else NUM_IMAGES
    return StandIn(
        height=shape.height,
        width=shape.width,
        channels=shape.channels,
        num_classes=min(NUM_CLASSES, shape.num_classes),
        num_images=min(most, shape.num_images),
    )


def _assumed_layout(spec: Spec) -> StandIn:
    """What stands in for files that must be opened to know their layout: what the network makes."""
    match spec.data:
        case Latents(autoencoder=autoencoder):
            larger = reduction(autoencoder) or 1
        case _:
            larger = 1
    match spec.network:
        case ConvGenerator(channels=channels, num_classes=num_classes):
            side = COARSEST_SIDE * doublings(channels)
        case Dit(patch_size=patch_size, num_classes=num_classes):
            side = patch_size * PATCHES_PER_SIDE
        case Mae(num_classes=num_classes) if num_classes:
            side = StandIn().height
        case UNet2DConditional(condition=condition) | UNetStl10(condition=condition):
            side, num_classes = StandIn().height, classes_told(condition)
        case _:
            side, num_classes = StandIn().height, StandIn().num_classes
    side *= _enlargement(side, spec) * larger
    return StandIn(
        height=side,
        width=side,
        num_classes=min(NUM_CLASSES, num_classes),
        num_images=NUM_IMAGES,
    )


def _enlargement(side: int, spec: Spec) -> int:
    """How many times larger images must be for the masked autoencoder that sees them, if one does.

    Its patches, those that it hides whole, divide them, and are enough.
    """
    runs = [each.run for *_, each in singles(spec.encoder) if isinstance(each, PretrainedEncoder)]
    patches = [each.network.patch for each in (spec, *runs) if isinstance(each.network, Mae)]
    if not patches:
        return 1
    hidden = getattr(spec.objective, "mask_patch", 1)
    unit = math.lcm(side, *(patch * hidden for patch in patches))
    return unit // side * -(-LEAST_GRID * max(patches) // unit)


def _nearest_checkpoint(small: Init, init: Init) -> Init:
    """With a checkpoint that the short training before it leaves."""
    if init.checkpoint is None:
        return small
    before, after = saved_steps(init.run), saved_steps(small.run)
    index = before.index(init.checkpoint)
    return evolve(small, checkpoint=after[_nearest(index, len(before), len(after))])


def _fewer_checkpoints(reader: Reader, spec: Spec, small: Spec) -> Reader:
    wanted = reader.checkpoints
    if wanted is None:
        return reader
    before, after = saved_steps(spec), saved_steps(small)
    steps = (after[_nearest(before.index(step), len(before), len(after))] for step in wanted.steps)
    fewer: Reader = evolve(
        reader,
        checkpoints=evolve(
            wanted,
            last=min(wanted.last, len(after)),
            steps=tuple(dict.fromkeys(steps)),
            every=min(wanted.every, small.train.checkpoint_every if small.train else 0),
        ),
    )
    return fewer


def _nearest(index: int, before: int, after: int) -> int:
    """The place of entry *index* of *before* among *after*: first stays first, last stays last."""
    return round(index * (after - 1) / (before - 1)) if before > 1 else after - 1
