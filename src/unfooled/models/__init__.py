"""Networks, one a file; `model.py` says what a model is."""
