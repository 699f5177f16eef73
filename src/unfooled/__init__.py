"""Which defences, models and data make a classifier hard to fool, with error bars."""

__version__ = "0.1.0"
