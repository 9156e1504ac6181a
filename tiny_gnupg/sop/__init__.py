"""The Stateless OpenPGP interface."""
