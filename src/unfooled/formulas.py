"""The formulas that a report explains: for Typst, for browsers, and in words."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Formula:
    """A displayed formula.

    Attributes:
        title: what it defines.
        typst, latex: its source for the PDF and for the page.
        words: the same as it is read aloud.
    """

    title: str
    typst: str
    latex: str
    words: str

    @property
    def mathml(self) -> str:
        """For browsers."""
        from latex2mathml.converter import convert

        return str(convert(self.latex, display="block"))


CROSS_ENTROPY = Formula(
    "Cross-entropy",
    "L(z, y) = -log e^(z_y) / (sum_k e^(z_k))",
    r"L(z, y) = -\log \frac{e^{z_y}}{\sum_k e^{z_k}}",
    "The loss of the logits z for the class y is minus the logarithm of a fraction: e to the power "
    "of the logit of y, over the sum of e to the power of each logit.",
)
FGSM = Formula(
    "FGSM",
    'x_"adv" = op("clip")_([0, 1]) (x + epsilon dot op("sign") (nabla_x L(f(x), y)))',
    r"x_{\text{adv}} = \operatorname{clip}_{[0, 1]} \left( x + \varepsilon \cdot "
    r"\operatorname{sign} \left( \nabla_x L(f(x), y) \right) \right)",
    "The attacked image is the image plus epsilon times the sign of the gradient of the loss with "
    "respect to the image, clipped to pixels from 0 to 1.",
)
PGD = Formula(
    "PGD",
    'x_(t+1) = Pi_(x, epsilon) (x_t + alpha dot op("sign") (nabla_x L(f(x_t), y)))',
    r"x_{t+1} = \Pi_{x, \varepsilon} \left( x_t + \alpha \cdot "
    r"\operatorname{sign} \left( \nabla_x L(f(x_t), y) \right) \right)",
    "The next image is this one plus a step of size alpha along the sign of the gradient of the "
    "loss, brought back to within epsilon of the original image.",
)
