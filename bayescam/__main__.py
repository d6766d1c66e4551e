"""`python -m bayescam`."""

import sys

from bayescam.cli import main

if __name__ == "__main__":
    sys.exit(main())
