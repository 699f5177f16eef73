"""The page where you draw: networks side by side, fooled live by the attacks of this package."""
