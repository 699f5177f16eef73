"""Formulas: from LaTeX between dollar signs, as code hosts show it, to MathML, as pages hold it.

No script is needed to show MathML, and screen readers read it out. The LaTeX stays in it as
`alttext`.
"""

import re
import string

_DISPLAYED = re.compile(r"^\$\$\n?(.+?)\n?\$\$$", re.MULTILINE | re.DOTALL)
_PUNCTUATION = frozenset(string.punctuation)
_INLINE = re.compile(r"(?<![\\$\w])\$(?=\S)([^$\n]+?)(?<=\S)\$(?![\w$])")


def with_formulas(text: str) -> str:
    """Markdown with its formulas as MathML."""
    text = _DISPLAYED.sub(
        lambda match: f'<div class="formula" tabindex="0">{mathml(match[1], "block")}</div>', text
    )
    # The span keeps Markdown from taking a formula at the beginning of a line for a paragraph.
    return _INLINE.sub(lambda match: f"<span>{mathml(match[1], 'inline')}</span>", text)


def mathml(latex: str, display: str) -> str:
    """One formula; display is "block" or "inline"."""
    from latex2mathml.converter import convert

    latex = " ".join(latex.split())
    # Written as numbers, so that Markdown finds nothing to emphasise in it.
    words = "".join(f"&#{ord(one)};" if one in _PUNCTUATION else one for one in latex)
    return convert(latex, display=display).replace("<math ", f'<math alttext="{words}" ', 1)
