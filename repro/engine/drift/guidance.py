"""Classifier-free guidance at training time: which scale a class draws, and what it weighs."""

import torch
from torch import Generator, Tensor

from repro.spec.objective import Alpha, FixedAlpha, PowerLawAlpha, TableAlpha


def guidance_weight(alpha: Tensor, *, num_generated: int, num_unconditional: int) -> Tensor:
    """The weight w of each unconditional negative that trains for guidance scale *alpha*.

    From gamma = U w / (N - 1 + U w) and alpha = 1 / (1 - gamma) (the paper's appendix A.7).
    """
    return (alpha - 1) * (num_generated - 1) / max(num_unconditional, 1)


def draw_alpha(law: Alpha, num: int, *, generator: Generator) -> Tensor:
    """*num* guidance scales [num], by the inverse of the law's distribution function."""
    match law:
        case FixedAlpha(value=value):
            return torch.full((num,), value)
        case TableAlpha():
            return _of_table(law, num, generator=generator)
        case PowerLawAlpha():
            return _of_power_law(law, num, generator=generator)


def _of_power_law(law: PowerLawAlpha, num: int, *, generator: Generator) -> Tensor:
    uniform, choice = torch.rand((2, num), generator=generator, dtype=torch.float64)
    power = 1 - law.exponent
    if power == 0:
        alpha = law.low * (law.high / law.low) ** uniform
    else:
        alpha = (law.low**power + uniform * (law.high**power - law.low**power)) ** (1 / power)
    return torch.where(choice < law.point_mass, law.low, alpha).float()


def _of_table(law: TableAlpha, num: int, *, generator: Generator) -> Tensor:
    uniform = torch.rand(num, generator=generator, dtype=torch.float64)
    below = torch.tensor(law.probabilities, dtype=torch.float64).cumsum(dim=0)[:-1]
    return torch.tensor(law.values)[torch.bucketize(uniform, below, right=True)]
