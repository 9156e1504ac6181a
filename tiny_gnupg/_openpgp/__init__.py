"""OpenPGP's bytes: armor, packets, fingerprints. Pure."""
