"""Attacks, one a file; `attack.py` says what an attack is."""
