"""Other OpenPGP programs, and what they and this library make of each other's work."""
