"""A report as one HTML file with pictures, and a server for it."""

from tfsci.profile.page.html import page, write

__all__ = ["page", "write"]
