"""A homedir on the disk: locks, agent, protection, repair."""
