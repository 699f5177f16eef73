"""How a number is written: every share and every change of one in the same way."""


def percent(share: float, digits: int = 1) -> str:
    """0.405 as "40.5 %", with a space that no line breaks at."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def points(difference: float, digits: int = 1) -> str:
    """-0.075 as "-7.5", with a real minus sign; percentage points."""
    text = f"{100 * difference:+.{digits}f}"
    return "0" + text[2:] if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")
