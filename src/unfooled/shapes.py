"""The shapes that cross the borders of this package, as types.

Images are float in [0, 1] everywhere but inside a `Dataset`, which stores bytes. Tests run with
these annotations checked (jaxtyping and beartype).
"""

from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

Images = Float[Tensor, "n c h w"]
ByteImages = UInt8[Tensor, "n c h w"]
Labels = Int64[Tensor, " n"]
Logits = Float[Tensor, "n k"]
PerImage = Float[Tensor, " n"]
Mask = Bool[Tensor, " n"]
