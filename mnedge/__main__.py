"""`python -m mnedge`; the frozen executable enters here too."""

import sys

from mnedge import shipped
from mnedge.cli.main import main

if __name__ == "__main__":
    shipped.enter()
    sys.exit(main())
