"""gpg's language: what is said to it, and what its answers mean. Pure."""
