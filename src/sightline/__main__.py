"""`python -m sightline`: the command line without its script."""

from sightline.cli import main

if __name__ == "__main__":
    main()
