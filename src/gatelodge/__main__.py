"""Run the command line: `python -m gatelodge`."""

from gatelodge.cli.main import main

main()
