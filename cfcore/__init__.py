"""cfcore: collaborative filtering on MovieLens, taught in five ways and trained for real."""

__version__ = "0.1.0"
