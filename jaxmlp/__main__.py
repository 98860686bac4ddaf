"""`python -m jaxmlp`, the same as the console script `jaxmlp`."""

import sys

from jaxmlp.cli import main

if __name__ == "__main__":
    sys.exit(main())
