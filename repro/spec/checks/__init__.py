"""What the fields of a spec must agree on; a field's own bounds are in its class.

A check names the tables it reads, so that the sound tables of a spec are still checked when
another has a mistake. Kinds from installed packages pass wherever nothing is known against them.
"""

from collections.abc import Callable, Iterator, Set

from attrs import evolve

from repro.spec.checks import (
    conditional,
    denoising,
    edm,
    encoder,
    evaluation,
    init,
    kl,
    latents,
    probes,
    training,
)
from repro.spec.document import Spec
from repro.spec.encoder import PretrainedEncoder, singles
from repro.spec.problems import Problem

Check = Callable[[Spec], Iterator[Problem]]


def check(spec: Spec, *, broken: Set[str] = frozenset()) -> Iterator[Problem]:
    """Every disagreement between the tables of a spec, the *broken* ones left out."""
    for reads, one in CHECKS:
        if not broken or broken.isdisjoint(reads):
            yield from one(spec)


def _something_to_do(spec: Spec) -> Iterator[Problem]:
    if not (spec.train or spec.evaluate or spec.reference or spec.probe):
        yield Problem((), "does nothing; expected [train], [[evaluate]] or [reference]")


def _upstream_is_sound(spec: Spec) -> Iterator[Problem]:
    for path, _, each in singles(spec.encoder):
        if isinstance(each, PretrainedEncoder):
            for found in check(each.run):
                yield evolve(found, path=(*path, "run", *found.path))
    if spec.init:
        for found in check(spec.init.run):
            yield evolve(found, path=("init", "run", *found.path))


CHECKS: tuple[tuple[tuple[str, ...], Check], ...] = (
    (("train", "evaluate", "reference", "probe"), _something_to_do),
    *latents.CHECKS,
    *kl.CHECKS,
    *training.CHECKS,
    *conditional.CHECKS,
    *edm.CHECKS,
    (("encoder", "init"), _upstream_is_sound),
    *init.CHECKS,
    *encoder.CHECKS,
    *evaluation.CHECKS,
    *probes.CHECKS,
    *denoising.CHECKS,
)
