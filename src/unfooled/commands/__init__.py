"""The commands; `command.py` says what one is."""
