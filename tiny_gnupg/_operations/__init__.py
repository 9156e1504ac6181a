"""What is done with one gpg in one home."""
