"""Tiles with a line of text under each, and points with a name: what a look at numbers takes."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

TILE = 96
"""Images smaller than this are enlarged by whole pixels."""
LINE = 12
GAP = 2
MARGIN = 40
PLOT_SIDE = 480


def captioned(images: NDArray[np.uint8], captions: Sequence[str], *, columns: int) -> bytes:
    """Images [N, H, W, C], row by row, each above its caption, as one PNG."""
    enlarged = max(1, TILE // images.shape[1])
    tiles = images.repeat(enlarged, axis=1).repeat(enlarged, axis=2)
    height, width = tiles.shape[1] + GAP, tiles.shape[2] + GAP
    rows = -(-len(tiles) // columns)
    picture = Image.new("RGB", (columns * width, rows * (height + LINE)), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(LINE - 2)
    for number, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        x, y = number % columns * width, number // columns * (height + LINE)
        picture.paste(Image.fromarray(tile.squeeze(-1) if tile.shape[-1] == 1 else tile), (x, y))
        draw.text((x + 1, y + height), caption, fill="black", font=font)
    return _png(picture)


def scatter(points: NDArray[np.float64], names: Sequence[str]) -> bytes:
    """Points [N, 2] with their names, as a PNG; axes of a map have no unit."""
    low, high = points.min(axis=0), points.max(axis=0)
    places = MARGIN + (points - low) / np.maximum(high - low, 1e-12) * (PLOT_SIDE - 2 * MARGIN)
    picture = Image.new("RGB", (PLOT_SIDE, PLOT_SIDE), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(LINE)
    for (x, y), name in zip(places.tolist(), names, strict=True):
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill="black")
        draw.text((x + 5, y - LINE), name, fill="black", font=font)
    return _png(picture)


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
