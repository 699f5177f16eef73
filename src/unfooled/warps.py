"""Transformations that move pixels: torchvision's, for a whole batch with one draw for each image.

Every one says where in its image each pixel of the result is read, in pixels from the middle.
What lies outside is black. A pixel that lies half outside is half black; torchvision's classes
darken it twice when they are told `fill=0`.
"""

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from unfooled.affine import middle, sampled
from unfooled.drawn import Form, alike, between, sometimes, whole
from unfooled.randomness import Draws
from unfooled.shapes import Images, PerImage
from unfooled.tones import blurred

Corners = Int64[Tensor, "n 4 2"]  # upper left, upper right, lower right, lower left; each x, y


def mode(made: Any) -> str:
    """How a transformation interpolates: "nearest" or "bilinear"."""
    from torchvision.transforms import InterpolationMode

    # An enum or, as the default of some, its value.
    return str(InterpolationMode(made.interpolation).value)


def warped(
    images: Images,
    angle: PerImage,
    shift: Float[Tensor, "n 2"],
    scale: PerImage,
    shear: Float[Tensor, "n 2"],
    how: str,
) -> Images:
    """Images sheared, scaled, rotated clockwise about their middle, then shifted.

    Args:
        angle, shear: in degrees; a shear is sideways, then upwards.
        shift: in pixels, to the right and down.
        how: "nearest" or "bilinear".
    """
    turn = angle.deg2rad()
    lean, rise = shear.deg2rad().unbind(1)
    # Row by row the matrix of the way there; its determinant is 1.
    a = (turn - rise).cos() / rise.cos()
    b = -(a * lean.tan() + turn.sin())
    c = (turn - rise).sin() / rise.cos()
    d = turn.cos() - c * lean.tan()
    a, b, c, d, right, below = (
        # Not a product of matrices, whose rounding would depend on the size of the batch.
        number[:, None, None]
        for number in (a / scale, b / scale, c / scale, d / scale, *shift.unbind(1))
    )
    columns, rows = middle(images)
    x, y = columns - right, rows - below
    return sampled(images, d * x - b * y, a * y - c * x, how)


def _rotation(made: Any, images: Images, draws: Draws) -> Images:
    angle = between(made.degrees, "angle", images, draws)
    still = images.new_zeros(len(images), 2)
    # torchvision rotates counter-clockwise here, but clockwise in RandomAffine.
    return warped(images, -angle, still, torch.ones_like(angle), still, mode(made))


def _affine(made: Any, images: Images, draws: Draws) -> Images:
    height, width = images.shape[2:]
    angle = between(made.degrees, "angle", images, draws)
    most_across, most_down = made.translate or (0, 0)
    across, down = most_across * width, most_down * height
    shift = torch.stack(
        [
            # torchvision shifts by whole pixels
            between((-across, across), "across", images, draws).round(),
            between((-down, down), "down", images, draws).round(),
        ],
        dim=1,
    )
    scale = between(made.scale or (1, 1), "scale", images, draws)
    x_low, x_high, y_low, y_high = (*(made.shear or (0, 0)), 0, 0)[:4]
    shear = torch.stack(
        [
            between((x_low, x_high), "shear x", images, draws),
            between((y_low, y_high), "shear y", images, draws),
        ],
        dim=1,
    )
    return warped(images, angle, shift, scale, shear, mode(made))


def _perspective(made: Any, images: Images, draws: Draws) -> Images:
    height, width = images.shape[2:]
    far_across, far_down = (
        int(made.distortion_scale * (side // 2)) + 1 for side in (width, height)
    )
    x = [whole(far_across, f"across {corner}", images, draws) for corner in range(4)]
    y = [whole(far_down, f"down {corner}", images, draws) for corner in range(4)]
    right, bottom = width - 1, height - 1
    corners = torch.stack(
        [
            torch.stack([x[0], y[0]], 1),
            torch.stack([right - x[1], y[1]], 1),
            torch.stack([right - x[2], bottom - y[2]], 1),
            torch.stack([x[3], bottom - y[3]], 1),
        ],
        dim=1,
    )
    return projected(images, corners, mode(made))


def projected(images: Images, corners: Corners, how: str) -> Images:
    """Images seen in perspective: the corners of each come to stand where `corners` says.

    An image whose corners would come to stand in one line stays as it is.
    """
    height, width = images.shape[2:]
    a, b, c, d, e, f, g, h = _homography(corners, height, width).to(images)[..., None, None]
    columns, rows = middle(images)
    # As torchvision, from the middles of pixels, but with the corners at whole numbers.
    x, y = columns + width / 2, rows + height / 2
    depth = g * x + h * y + 1
    far = 2 * max(height, width)
    across, down = (
        # At the horizon there is no place; what lies there is as black as what lies beyond.
        (place.nan_to_num(far) - side / 2).clamp(-far, far)
        for place, side in (
            ((a * x + b * y + c) / depth, width),
            ((d * x + e * y + f) / depth, height),
        )
    )
    return sampled(images, across, down, how)


def _homography(corners: Corners, height: int, width: int) -> Float[Tensor, "8 n"]:
    """The eight numbers of the map from each image's new corners back to its old ones."""
    new = corners.double()
    old = new.new_tensor([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])
    x, y = new.unbind(-1)
    one, none = torch.ones_like(x), torch.zeros_like(x)
    left, top = old.T
    equations = torch.cat(
        [
            torch.stack([x, y, one, none, none, none, -left * x, -left * y], -1),
            torch.stack([none, none, none, x, y, one, -top * x, -top * y], -1),
        ],
        dim=1,
    )
    wanted = torch.cat([left, top]).expand(len(new), 8)[..., None]
    solved = torch.linalg.solve_ex(equations, wanted)
    same = new.new_tensor([1, 0, 0, 0, 1, 0, 0, 0])
    return torch.where(solved.info[:, None] == 0, solved.result[..., 0], same).T


def _elastic(made: Any, images: Images, draws: Draws) -> Images:
    columns, rows = middle(images)
    sigmas = images.new_tensor([made.sigma[0]]), images.new_tensor([made.sigma[1]])
    shifts = []
    for name, alpha, sigma in zip(("across", "down"), made.alpha, made.sigma, strict=True):
        noise = 2 * draws.step(name).uniform(images[:, :1]) - 1
        size = int(8 * sigma + 1) | 1
        smooth = blurred(noise, (size, size), sigmas)[:, 0]
        # torchvision counts from -1 to 1 across the image, so alpha is twice the pixels.
        shifts.append(alpha / 2 * smooth)
    return sampled(images, columns + shifts[0], rows + shifts[1], mode(made))


BATCHED: dict[str, Form] = {
    "RandomRotation": _rotation,
    "RandomAffine": _affine,
    "RandomPerspective": sometimes(_perspective),
    "ElasticTransform": _elastic,
    "RandomHorizontalFlip": sometimes(alike),
    "RandomVerticalFlip": sometimes(alike),
}
