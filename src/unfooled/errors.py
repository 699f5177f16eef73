"""What can go wrong by a user's input; the command line shows it as one line and exits with 2."""


class UnfooledError(Exception):
    """The parent of every error that this package raises on purpose."""


def brief(error: BaseException) -> str:
    """The first line of what somebody else's error says; its name where it says nothing.

    A line that only announces others is followed by the last of them, which is next to the reason.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [repr(error)]
    return f"{lines[0]} {lines[-1]}" if lines[0].endswith(":") and lines[1:] else lines[0]


def named(error: BaseException) -> str:
    """The same behind the error's name."""
    return f"{type(error).__name__}: {brief(error)}"


class UnknownName(UnfooledError):
    """No member, option or class goes by that name."""


class InvalidOption(UnfooledError):
    """An option has a value that it cannot have."""


class InvalidThreat(UnfooledError):
    """A norm or an eps that does not describe a set of allowed images."""


class InvalidInput(UnfooledError):
    """Images, labels or targets that are not what every border promises."""


class InvalidModel(UnfooledError):
    """A model whose output or gradient cannot be used."""


class InvalidData(UnfooledError):
    """Data files that are damaged, or not what their name says."""


class DataMissing(UnfooledError):
    """Data files that could be found nowhere."""


class InvalidTransform(UnfooledError):
    """A transformation that does not exist, or that returns what no model can read."""


class InvalidStudy(UnfooledError):
    """A study file that does not describe a study."""


class RunRefused(UnfooledError):
    """A run's folder that cannot be used: busy, of another study, unreadable or unwritable."""


class JobFailed(UnfooledError):
    """A training or an attack that ended without a result."""


class OutOfMemory(JobFailed):
    """Memory has no room for the work on one image, or for what cannot be halved."""


class TrackingFailed(UnfooledError):
    """A place besides the run's folder that could not be written to; the run is whole."""


class ContractBroken(UnfooledError, AssertionError):
    """An attack or a model that does not keep what it must; see `testing.py`."""
