"""Run the command line as ``python -m pydsm``."""

from pydsm.cli import main

raise SystemExit(main())
