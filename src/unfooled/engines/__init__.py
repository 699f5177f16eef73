"""Where jobs run, one engine a file; `engine.py` says what an engine is."""
