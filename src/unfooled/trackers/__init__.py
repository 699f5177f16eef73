"""Places besides a run's folder, one a file; `tracker.py` says what a tracker is."""
