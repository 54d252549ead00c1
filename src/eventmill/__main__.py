"""`python -m eventmill` is the `eventmill` command."""

from eventmill.cli.main import main

if __name__ == "__main__":
    main()
