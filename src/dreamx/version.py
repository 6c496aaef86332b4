"""The version, in one place: the package's, the command line's, and that which files and reports say they were made with."""

__version__ = "0.1.0"
