"""Data sets, one a file; `dataset.py` says what a data set is."""
