"""The nearest misread attempts that were seen so far, image by image."""

from dataclasses import dataclass

import torch

from unfooled.shapes import Images, Mask, PerImage
from unfooled.victim import Batch


@dataclass(frozen=True)
class Nearest:
    """What an attack that looks for the nearest misread image will return.

    Attributes:
        images: the nearest misread attempts; the image itself where none was seen.
        distances: of those from the images; infinite where none was seen.
    """

    images: Images
    distances: PerImage

    @classmethod
    def none(cls, images: Images) -> "Nearest":
        """Nothing seen yet."""
        return cls(images.clone(), images.new_full((len(images),), torch.inf))

    def note(self, batch: Batch, attempts: Images, distances: PerImage, misread: Mask) -> None:
        """Keep those attempts at a batch's rows that are misread and nearer than what was known."""
        rows = (misread & (distances < self.distances[batch.places])).nonzero()[:, 0]
        places = batch.places[rows]
        self.images[places] = attempts[rows]
        self.distances[places] = distances[rows]
