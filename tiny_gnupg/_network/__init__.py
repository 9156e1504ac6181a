"""Tor, HTTP and keyservers."""
