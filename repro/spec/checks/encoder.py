"""What a frozen encoder must agree on with the data that it encodes, and with what trained it."""

from collections.abc import Iterator, Sequence

from repro.spec.data import Dataset
from repro.spec.document import Spec
from repro.spec.encoder import (
    LibraryEncoder,
    MapKeys,
    PretrainedEncoder,
    mae_taps,
)
from repro.spec.layout import layout, unfit_patches
from repro.spec.network import Mae
from repro.spec.objective import MaskedAutoencoding
from repro.spec.problems import Problem, choice, repeated

RGB = 3


def _upstream_trains_an_encoder(spec: Spec) -> Iterator[Problem]:
    match spec.encoder:
        case PretrainedEncoder(run=Spec(objective=MaskedAutoencoding(), network=Mae() as mae)):
            yield from _taps_exist(spec.encoder.features, mae_taps(mae.blocks))
        case PretrainedEncoder(run=run):
            trained = run.objective.kind if run.objective else "nothing"
            msg = f"trains no encoder: its objective is {trained}, expected masked-autoencoding"
            yield Problem(("encoder", "run"), msg)
        case _:
            pass


def _taps_exist(keys: Sequence[MapKeys], taps: Sequence[str]) -> Iterator[Problem]:
    for group, each in enumerate(keys):
        for index, tap in enumerate(each.taps):
            if tap not in taps:
                path = ("encoder", "features", group, "taps", index)
                yield Problem(path, f"no map {tap!r}, {choice(tap, taps)}")


def _keys_differ(spec: Spec) -> Iterator[Problem]:
    keys: Sequence[MapKeys] = getattr(spec.encoder, "features", ())
    named = [
        f"{statistic} of {tap}"
        for each in keys
        for tap in each.taps or ("all maps",)
        for statistic in each.statistics
    ]
    yield from repeated(named, ("encoder", "features"))
    every = isinstance(spec.encoder, PretrainedEncoder) and not all(each.taps for each in keys)
    if every and len(keys) > 1:
        msg = "a group without taps takes all maps; expected it alone, or taps in every group"
        yield Problem(("encoder", "features"), msg)


def _library_encoder_is_named(spec: Spec) -> Iterator[Problem]:
    match spec.encoder:
        case LibraryEncoder(library="transformers", model=model) if model:
            msg = f"its config.json names the model of transformers; expected none, got {model!r}"
            yield Problem(("encoder", "model"), msg)
        case LibraryEncoder(library="torchvision" | "timm" as library, model=""):
            msg = f"missing, expected the name of a model of {library}"
            yield Problem(("encoder", "model"), msg)
        case _:
            pass
    if isinstance(spec.encoder, LibraryEncoder):
        for group, each in enumerate(spec.encoder.features):
            if not each.taps:
                path = ("encoder", "features", group, "taps")
                yield Problem(path, "expected the names of modules, got none")


def _encoder_fits_data(spec: Spec) -> Iterator[Problem]:
    shape = layout(spec.data) if spec.data else None
    if shape is None:
        return
    match spec.encoder:
        case LibraryEncoder() if shape.channels != RGB:
            yield Problem(("encoder",), f"takes RGB images, but {_said(spec.data)} is grey")
        case PretrainedEncoder(run=Spec(data=data, network=Mae(patch=patch))):
            learned = layout(data) if data else None
            if learned and learned.channels != shape.channels:
                msg = f"has seen {learned.channels} channels of {_said(data)}, but"
                got = f"{_said(spec.data)} has {shape.channels}"
                yield Problem(("encoder", "run", "data"), f"{msg} {got}")
            if mistake := unfit_patches(patch, shape):
                size = f"{_said(spec.data)} is {shape.height} x {shape.width}"
                yield Problem(("encoder", "run", "network", "patch"), f"{mistake}: {size}")
        case _:
            pass


def _said(data: Dataset | None) -> str:
    return data.kind if data else "nothing"


CHECKS = (
    (("encoder",), _upstream_trains_an_encoder),
    (("encoder",), _keys_differ),
    (("encoder",), _library_encoder_is_named),
    (("data", "encoder"), _encoder_fits_data),
)
