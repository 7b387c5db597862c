"""Drives a run with the client of openapi-python-client: python drive_python.py FOLDER URL TOKEN."""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

folder, url, token = sys.argv[1:]
sys.path.insert(0, folder)


def of_client(name: str) -> Any:
    """A module of the client, which is there only now."""
    return importlib.import_module(f"penstock_client.{name}")


models, runs = of_client("models"), of_client("api.runs")
client = of_client("client").AuthenticatedClient(base_url=url, token=token)
inputs = models.CommandInputs(argv=["echo", "hello"])
wanted = models.RunRequest(kind="command", inputs=inputs)
started = of_client("api.runs.submit").sync(client=client, body=wanted)
look = of_client("api.runs.get_run").sync
run = look(started.run_id, client=client)
while str(run.state) not in ("completed", "failed", "cancelled"):
    time.sleep(0.05)
    run = look(started.run_id, client=client)
output = of_client("api.runs.run_output").sync_detailed(started.run_id, client=client)
missing = look("nobody", client=client)
told = {"state": str(run.state), "number": run.number, "missing": missing.detail}
print(json.dumps({**told, "output": output.content.decode()}))
