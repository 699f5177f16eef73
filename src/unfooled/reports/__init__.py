"""Kinds of report, one a file; `report.py` says what a report is."""
