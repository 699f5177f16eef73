"""Other libraries of attacks, one file each; `peer.py` says what a member is."""
