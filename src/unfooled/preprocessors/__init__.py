"""Input defences, one a file; `preprocessor.py` says what one is."""
