"""What tiny_gnupg costs, beside gpg itself and its peers, measured in one run.

``python -m benchmarks`` prints the table of what is to be reached and what is; ``streams``,
``growth``, ``profile``, ``load`` and ``soak`` say more. Nothing here is a timed test: a scheduled
job or a person runs it, and reads ratios, because milliseconds are the machine's.
"""
