"""Run the demonstration: ``python -m examples.demo [--offline]``, in a checkout."""

from __future__ import annotations

import argparse
import asyncio
import sys

from examples.demo.steps import DemoFailed
from examples.demo.story import demo


def main() -> int:
    """Run it; the exit code is 1 where a step did not do what it has to."""
    parser = argparse.ArgumentParser(prog="demo", description=demo.__doc__)
    parser.add_argument("--offline", action="store_true", help="leave out the private Tor network")
    try:
        asyncio.run(demo(network=not parser.parse_args().offline))
    except DemoFailed as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
