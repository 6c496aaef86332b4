"""``python -m dreamx``."""

from dreamx.cli import main

if __name__ == "__main__":
    main()
