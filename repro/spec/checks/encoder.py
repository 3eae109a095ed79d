"""What a frozen encoder must agree on with the data that it encodes, and with what trained it."""

from collections.abc import Iterator, Sequence
from typing import Any

from repro.spec.autoencoder import AutoencoderKl
from repro.spec.data import Dataset, Latents
from repro.spec.document import Spec
from repro.spec.encoder import (
    LibraryEncoder,
    PretrainedEncoder,
    conv_taps,
    feature_keys,
    mae_taps,
    singles,
)
from repro.spec.layout import holds_latents, layout, unfit_patches
from repro.spec.map_keys import SUFFIXES, MapKeys
from repro.spec.network import ConvEncoder, Mae
from repro.spec.objective import Drifting, MaskedAutoencoding
from repro.spec.problems import KeyPath, Problem, choice, repeated
from repro.spec.reals import NearestPositives

RGB = 3


def _encoders_are_sound(spec: Spec) -> Iterator[Problem]:
    for path, _, encoder in singles(spec.encoder):
        match encoder:
            case PretrainedEncoder(run=Spec(objective=MaskedAutoencoding(), network=Mae() as mae)):
                yield from _keys_are_sound(encoder.features, mae_taps(mae.blocks), path)
            case PretrainedEncoder(run=run):
                trained = run.objective.kind if run.objective else "nothing"
                msg = f"trains no encoder: its objective is {trained}, expected masked-autoencoding"
                yield Problem((*path, "run"), msg)
            case LibraryEncoder():
                yield from _library_encoder_is_named(encoder, path)
                yield from _keys_differ(encoder.features, (*path, "features"))
            case ConvEncoder(channels=channels):
                yield from _keys_are_sound(encoder.features, conv_taps(channels), path)


def _keys_are_sound(
    keys: Sequence[MapKeys], taps: Sequence[str], path: KeyPath
) -> Iterator[Problem]:
    yield from _keys_differ(keys, (*path, "features"))
    if len(keys) > 1 and not all(each.taps for each in keys):
        msg = "a group without taps takes all maps; expected it alone, or taps in every group"
        yield Problem((*path, "features"), msg)
    for group, each in enumerate(keys):
        for index, tap in enumerate(each.taps):
            if tap not in taps:
                place = (*path, "features", group, "taps", index)
                yield Problem(place, f"no map {tap!r}, {choice(tap, taps)}")


def _keys_differ(keys: Sequence[MapKeys], path: KeyPath) -> Iterator[Problem]:
    named = [
        f"{suffix.removeprefix('_') or 'locations'} of {tap}"
        for each in keys
        for tap in each.taps or ("all maps",)
        for statistic in each.statistics
        for suffix in SUFFIXES[statistic]
    ]
    yield from repeated(named, path)


def _library_encoder_is_named(encoder: LibraryEncoder, path: KeyPath) -> Iterator[Problem]:
    named = encoder.library != "transformers"
    if named and not encoder.model:
        msg = f"missing, expected the name of a model of {encoder.library}"
        yield Problem((*path, "model"), msg)
    if encoder.model and not named:
        msg = "its config.json names the model of transformers; expected none"
        yield Problem((*path, "model"), f"{msg}, got {encoder.model!r}")
    for group, each in enumerate(encoder.features):
        if not each.taps:
            place = (*path, "features", group, "taps")
            yield Problem(place, "expected the names of modules, got none")
    taps = [tap for each in encoder.features for tap in each.taps]
    for index, tap in enumerate(encoder.unstandardized):
        if tap not in taps:
            place = (*path, "unstandardized", index)
            yield Problem(place, f"no feature is a map {tap!r}, {choice(tap, taps)}")
    if encoder.unstandardized and not encoder.standardize:
        msg = "nothing is standardized; expected none, or standardize = true"
        yield Problem((*path, "unstandardized"), msg)


def _nearest_positives_have_a_key(spec: Spec) -> Iterator[Problem]:
    """Said before an encoder is trained for it."""
    match spec.objective:
        case Drifting(nearest_positives=NearestPositives(feature=feature)) if spec.encoder:
            keys = ["pixels", *feature_keys(spec.encoder)]
            if feature not in keys:
                path = ("objective", "nearest_positives", "feature")
                yield Problem(path, f"no key {feature!r}, {choice(feature, keys)}")
        case _:
            pass


def _names_differ(spec: Spec) -> Iterator[Problem]:
    names = [name for _, name, _ in singles(spec.encoder)]
    yield from repeated(names, ("encoder", "members"))


def _encoders_fit_data(spec: Spec) -> Iterator[Problem]:
    shape = layout(spec.data) if spec.data else None
    if shape is None:
        return
    for path, _, encoder in singles(spec.encoder):
        match encoder:
            case LibraryEncoder() if shape.channels != RGB and not holds_latents(spec.data):
                yield Problem(path, f"takes RGB images, but {_said(spec.data)} is grey")
            case PretrainedEncoder(run=Spec(data=data, network=Mae(patch=patch))):
                learned = layout(data) if data and _coding(data) == _coding(spec.data) else None
                if learned and learned.channels != shape.channels:
                    msg = f"has seen {learned.channels} channels of {_said(data)}, but"
                    got = f"{_said(spec.data)} has {shape.channels}"
                    yield Problem((*path, "run", "data"), f"{msg} {got}")
                if mistake := unfit_patches(patch, shape):
                    size = f"{_said(spec.data)} is {shape.height} x {shape.width}"
                    yield Problem((*path, "run", "network", "patch"), f"{mistake}: {size}")
            case _:
                pass


def _encoders_have_seen_such_data(spec: Spec) -> Iterator[Problem]:
    """Latents mean something only to an encoder of latents that were made alike."""
    for path, _, encoder in singles(spec.encoder):
        match encoder:
            case LibraryEncoder() if holds_latents(spec.data):
                yield Problem(path, "takes RGB images, but the data are latents")
            case PretrainedEncoder(run=Spec(data=data)) if _coding(data) != _coding(spec.data):
                msg = f"has seen {_seen(data)}, but the data are {_seen(spec.data)}"
                if holds_latents(data) and holds_latents(spec.data):
                    msg = "has seen latents of another autoencoder or scaling factor than the data"
                    msg += "; expected the same of both"
                yield Problem((*path, "run", "data"), msg)
            case _:
                pass


def _coding(data: Dataset | None) -> Any:
    """What makes latents what they are, whatever was encoded; None for images."""
    match data:
        case Latents(autoencoder=AutoencoderKl() as trained):
            return trained.weights, trained.architecture, data.scaling_factor
        case Latents():
            return data.autoencoder, data.scaling_factor
        case _:
            return None


def _seen(data: Dataset | None) -> str:
    return "latents" if holds_latents(data) else "images"


def _said(data: Dataset | None) -> str:
    return data.kind if data else "nothing"


CHECKS = (
    (("encoder",), _encoders_are_sound),
    (("encoder",), _names_differ),
    (("objective", "encoder"), _nearest_positives_have_a_key),
    (("data", "encoder"), _encoders_fit_data),
    (("data", "encoder"), _encoders_have_seen_such_data),
)
