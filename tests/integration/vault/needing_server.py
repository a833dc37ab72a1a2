"""A server that does not start without a secret of its own, as many do not."""

import os
import sys

sys.exit(3 if "TOKEN" not in os.environ else 0)
