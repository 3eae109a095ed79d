"""Which classes may fill a slot of a spec: ours, and those of installed packages.

A package adds a kind by an entry point in the group `repro.spec.<slot>`; the entry point's name is
the kind. It is imported only when a spec names it, so a broken package breaks only those specs. A
kind of ours cannot be replaced.
"""

from functools import cache
from types import MappingProxyType
from typing import Any, get_args

from attrs import has

from repro.spec.autoencoder import Autoencoder
from repro.spec.conditional import Condition
from repro.spec.data import Dataset, ImageSet
from repro.spec.edm import Codec
from repro.spec.encoder import Encoder, SingleEncoder
from repro.spec.evaluate import Extractor, Metric, Reference
from repro.spec.network import Network
from repro.spec.objective import Alpha, NoiseSchedule, Objective
from repro.spec.path import Path
from repro.spec.probe import Probe
from repro.spec.probes.denoising import Judge
from repro.spec.problems import Mistake, choice
from repro.spec.reals import Queue
from repro.spec.sample import Guidance, Sampler, SampleSet
from repro.spec.train import EmaLaw, LrSchedule
from repro.spec.weighting import Weighting

SLOTS = MappingProxyType(
    {
        "dataset": Dataset,
        "image-set": ImageSet,
        "autoencoder": Autoencoder,
        "network": Network,
        "condition": Condition,
        "encoder": Encoder,
        "single-encoder": SingleEncoder,
        "objective": Objective,
        "alpha": Alpha,
        "queue": Queue,
        "codec": Codec,
        "noise-schedule": NoiseSchedule,
        "weighting": Weighting,
        "lr-schedule": LrSchedule,
        "ema": EmaLaw,
        "sample-set": SampleSet,
        "path": Path,
        "sampler": Sampler,
        "guidance": Guidance,
        "reference": Reference,
        "extractor": Extractor,
        "metric": Metric,
        "probe": Probe,
        "judge": Judge,
    }
)


def names(slot: str) -> list[str]:
    """Every kind that may fill the slot."""
    from importlib.metadata import entry_points

    return sorted({*built_in(slot), *entry_points(group=f"repro.spec.{slot}").names})


def find(slot: str, kind: str) -> type:
    """The class of this kind.

    Raises:
        Mistake: when nobody offers the kind, or the package that does is broken.
    """
    return built_in(slot).get(kind) or _installed(slot, kind)


@cache
def built_in(slot: str) -> dict[str, type]:
    """The classes of this package that may fill the slot, by kind."""
    members: tuple[Any, ...] = get_args(SLOTS[slot]) or (SLOTS[slot],)
    return {member.kind: member for member in members}


def _installed(slot: str, kind: str) -> type:
    from importlib.metadata import entry_points

    for plugin in entry_points(group=f"repro.spec.{slot}", name=kind):
        try:
            type_: type = plugin.load()
        except (ImportError, AttributeError) as error:
            msg = f"kind {kind!r} comes from {plugin.value!r}, which cannot be imported: {error}"
            raise Mistake(msg) from error
        if not has(type_) or getattr(type_, "kind", None) != kind:
            msg = f"kind {kind!r}: {plugin.value!r} is not an attrs class with kind = {kind!r}"
            raise Mistake(msg)
        return type_
    msg = f"unknown kind {kind!r}, {choice(kind, names(slot))}"
    raise Mistake(msg)
