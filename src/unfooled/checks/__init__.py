"""Reasons not to believe a number, one a file; `check.py` says what a check is."""
