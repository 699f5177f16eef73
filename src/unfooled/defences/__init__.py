"""Training losses, one a file; `defence.py` says what a defence is."""
