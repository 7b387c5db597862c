"""Penstock: meters work into processes and language models, and proves how each run ended."""

# General layout, bottom to top; a module imports only what stands below it:
#   words      errors config clocks priority events wire address
#   decisions  lifecycle staleness throttle watermark
#   record     what happened: store, recorder, bus, views
#   runs       what is happening: run, admission, queue, control
#   llm, pipelines, server, client, service, cli
__version__ = "0.1.0"
