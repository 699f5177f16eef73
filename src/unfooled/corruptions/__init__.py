"""Common corruptions, one a file; `corruption.py` says what a corruption is."""
