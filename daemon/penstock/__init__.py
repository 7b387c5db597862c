"""Penstock: meters work into processes and language models, and proves how each run ended.

docs/architecture.md has a line for each room.
"""

__version__ = "0.1.0"
