"""`python -m laurels` is the command line."""

from laurels.cli import main

if __name__ == "__main__":
    main()
