"""This process and what it shares: signals, cores, random generators, the logger, and what a user's code may raise."""
