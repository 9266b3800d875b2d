"""Deep learning for science, from a laptop to a supercomputer."""

__version__ = "0.1.0"
