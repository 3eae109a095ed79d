"""What the fields of a spec must agree on; a field's own bounds are in its class.

A check names the tables it reads, so that the sound tables of a spec are still checked when
another has a mistake. Kinds from installed packages pass wherever nothing is known against them.
"""

from collections.abc import Callable, Iterator, Set

from repro.spec.checks import evaluation, latents, training
from repro.spec.document import Spec
from repro.spec.problems import Problem

Check = Callable[[Spec], Iterator[Problem]]


def check(spec: Spec, *, broken: Set[str] = frozenset()) -> Iterator[Problem]:
    """Every disagreement between the tables of a spec, the *broken* ones left out."""
    for reads, one in CHECKS:
        if not broken or broken.isdisjoint(reads):
            yield from one(spec)


def _something_to_do(spec: Spec) -> Iterator[Problem]:
    if not (spec.train or spec.evaluate or spec.reference):
        yield Problem((), "does nothing; expected [train], [[evaluate]] or [reference]")


CHECKS: tuple[tuple[tuple[str, ...], Check], ...] = (
    (("train", "evaluate", "reference"), _something_to_do),
    *latents.CHECKS,
    *training.CHECKS,
    *evaluation.CHECKS,
)
