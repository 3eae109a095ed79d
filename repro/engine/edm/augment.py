"""Images changed in ways that a network is told of (Karras et al. 2020, appendix B; 2022, F.2).

What it is told of, a network need not imitate: asked for images that nothing was done to, it makes
such. Mirrored pixels are exact. All else goes over twice the resolution: there and back by an
orthonormal wavelet filter, so that an image to which nothing is done comes back as it was.
"""

import math

import torch
from attrs import frozen
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, pad

from repro.spec.edm import Augmentation

NUM_NUMBERS = 9
"""What a network is told: mirrored (2), size, turn (2), stretch (2), shift (2)."""

OCTAVES, SHARE = 0.2, 0.125

SYMLET = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
"""The scaling filter of the symlet with six vanishing moments (Daubechies 1992, table 8.3)."""

TAPS = len(SYMLET)
CENTRE = sum(index * tap for index, tap in enumerate(SYMLET)) / sum(SYMLET)
AHEAD = round(CENTRE - 0.5)
LATE = CENTRE - AHEAD - 0.5
"""By how many fine pixels the filter shows an image late, whose pixel n lies at 2 n + 1/2 there."""


@frozen(kw_only=True, eq=False)
class Changes:
    """What is done to each of B images; all 0, or no, where nothing is.

    `size` and `stretch` are in units of 0.2 octaves, `turn` and `frame` (the direction of a
    stretch) are angles, `shift` [B, 2] is in eighths of the sides.
    """

    mirrored: Tensor
    upended: Tensor
    size: Tensor
    turn: Tensor
    stretch: Tensor
    frame: Tensor
    shift: Tensor

    def numbers(self) -> Tensor:
        """What the network is told [B, 9]."""
        told = [
            self.mirrored.float(),
            self.upended.float(),
            self.size,
            self.turn.cos() - 1,
            self.turn.sin(),
            self.stretch * self.frame.cos(),
            self.stretch * self.frame.sin(),
        ]
        return torch.cat([torch.stack(told, dim=1), self.shift], dim=1)


def augmented(spec: Augmentation, images: Tensor, *, generator: Generator) -> tuple[Tensor, Tensor]:
    """Images [B, C, H, W] after chance, and what was done to each [B, 9]."""
    changes = drawn(spec, len(images), generator=generator)
    return changed(images, changes), changes.numbers()


def drawn(spec: Augmentation, num: int, *, generator: Generator) -> Changes:
    """What chance does to *num* images."""
    upended, size, turn, stretch, shift = (
        torch.rand((5, num), generator=generator) < spec.probability
    )
    coins = torch.rand((3, num), generator=generator) < 0.5
    normal = torch.randn((4, num), generator=generator)
    angles = math.pi * (2 * torch.rand((2, num), generator=generator) - 1)
    return Changes(
        mirrored=coins[0],
        upended=coins[1] & upended,
        size=normal[0] * size,
        turn=angles[0] * turn,
        stretch=normal[1] * stretch,
        frame=angles[1] * coins[2],
        shift=(normal[2:] * shift).T,
    )


def changed(images: Tensor, changes: Changes) -> Tensor:
    """Images [B, C, H, W] after *changes*: mirrored, then resized, turned, stretched and shifted.

    What comes into view from outside mirrors what is inside.
    """
    images = _where(changes.mirrored, images.flip(3), images)
    images = _where(changes.upended, images.flip(2), images)
    moved = (changes.size != 0) | (changes.turn != 0) | (changes.stretch != 0)
    moved |= (changes.shift != 0).any(dim=1)
    if not moved.any():
        return images
    out = images.clone()
    out[moved] = _warped(images[moved], _maps(changes)[moved], changes.shift[moved])
    return out


def _where(chosen: Tensor, these: Tensor, those: Tensor) -> Tensor:
    return torch.where(chosen.to(those.device)[:, None, None, None], these, those)


def _maps(changes: Changes) -> Tensor:
    """Where a place of an image goes, from its centre and in pixels [B, 2, 2]."""
    size = torch.exp2(OCTAVES * changes.size)[:, None, None]
    factor = torch.exp2(OCTAVES * changes.stretch)
    stretch = torch.diag_embed(torch.stack([factor, 1 / factor], dim=1))
    frame = _rotations(changes.frame)
    return size * _rotations(changes.turn) @ frame @ stretch @ frame.mT


def _rotations(angles: Tensor) -> Tensor:
    """[B, 2, 2] of *angles* [B], from the first axis (to the right) to the second (down)."""
    cosines, sines = angles.cos(), angles.sin()
    return torch.stack([cosines, -sines, sines, cosines], dim=1).view(-1, 2, 2)


def _warped(images: Tensor, maps: Tensor, shift: Tensor) -> Tensor:
    """Each image [B, C, H, W] moved by its map and its shift."""
    sides = torch.tensor([images.shape[3], images.shape[2]])
    back = torch.linalg.inv(maps)
    late = torch.full((2, 1), LATE / 2)  # in pixels of the image
    away = late - back @ ((SHARE * shift * sides)[..., None] + late)
    unit = sides / 2  # of the coordinates of a grid, in pixels
    theta = torch.cat([back * unit / unit[:, None], away / unit[:, None]], dim=2)
    fine = _doubled(images)
    grid = affine_grid(theta.to(fine), list(fine.shape), align_corners=False)
    return _halved(grid_sample(fine, grid, padding_mode="reflection", align_corners=False))


def _doubled(images: Tensor) -> Tensor:
    """[B, C, 2 H, 2 W] of images [B, C, H, W], whose borders are mirrors."""
    margin = TAPS // 2
    wide = _reflected(images, margin)
    fine = wide.new_zeros(*wide.shape[:2], 2 * wide.shape[2], 2 * wide.shape[3])
    fine[..., ::2, ::2] = 2 * wide
    # entry m of what is filtered is the sum over k of tap k times entry m - k
    first = 2 * margin + AHEAD
    spread = _filtered(pad(fine, (TAPS - 1, 0, TAPS - 1, 0)), torch.tensor(SYMLET).flip(0))
    height, width = (2 * side for side in images.shape[2:])
    return spread[..., first : first + height, first : first + width]


def _halved(fine: Tensor) -> Tensor:
    """[B, C, H, W] of images [B, C, 2 H, 2 W]: the transpose of `_doubled`, by a quarter."""
    margin = TAPS
    wide = _reflected(fine, margin)
    spread = _filtered(wide, torch.tensor(SYMLET)) / 2
    first = margin - AHEAD
    height, width = fine.shape[2:]
    return spread[..., first : first + height : 2, first : first + width : 2]


def _reflected(images: Tensor, margin: int) -> Tensor:
    """Images with so many pixels more on every side, mirrored at their edges."""
    height, width = images.shape[2:]
    rows, columns = (
        _mirrored(torch.arange(-margin, side + margin, device=images.device), side)
        for side in (height, width)
    )
    return images[..., rows[:, None], columns]


def _mirrored(places: Tensor, side: int) -> Tensor:
    """Places on a line of *side* pixels that repeats, every second time backwards."""
    folded = places.remainder(2 * side)
    return torch.minimum(folded, 2 * side - 1 - folded)


def _filtered(images: Tensor, taps: Tensor) -> Tensor:
    """Images correlated with *taps* along both axes; each side loses one less than there are."""
    channels, taps = images.shape[1], taps.to(images)
    across = taps[None, None, None, :].expand(channels, 1, 1, -1)
    down = taps[None, None, :, None].expand(channels, 1, -1, 1)
    return conv2d(conv2d(images, across, groups=channels), down, groups=channels)
