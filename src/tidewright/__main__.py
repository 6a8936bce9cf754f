"""`python -m tidewright`, the same as the command."""

from tidewright.cli.main import main

if __name__ == "__main__":
    main()
