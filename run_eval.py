"""Command line of the harness in a checkout; the same as the installed `icl-harness`."""

from harness.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
