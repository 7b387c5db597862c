"""The input schema of `start_run`: the submit request, with what each installed kind takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from penstock.words.api import SubmitRequest

if TYPE_CHECKING:
    from penstock.runs.run import Kind

#: What a submit's fields mean, for a model that has read nothing else of us.
FIELDS: Mapping[str, str] = {
    "kind": "What to run.",
    "inputs": "What the kind takes; each form is titled with the kind that it belongs to.",
    "priority": "CRITICAL, HIGH, MEDIUM, LOW or BACKGROUND; more important runs start first.",
    "run_id": "An id of your choice. The same id with the same inputs is the same run, so a"
    " repeated call starts nothing twice. Null: one is made.",
    "after": "Ids of runs that must complete first.",
    "group": "A configured group whose runs share slots.",
    "timeout": "Seconds the run may execute before it fails.",
    "labels": "Names and values by which list_runs finds it again.",
    "on_restart": "What becomes of it if the daemon restarts meanwhile; null: as usual for its kind.",
}


def start_run_schema(kinds: Iterable[Kind]) -> dict[str, Any]:
    """The schema; below its top it has alternatives, at the top none, since some hosts refuse those."""
    kinds = sorted(kinds, key=lambda kind: kind.name)
    schema = SubmitRequest.model_json_schema()
    # That one is about REST.
    schema.pop("description", None)
    definitions: dict[str, Any] = schema.pop("$defs", {})
    forms = []
    for kind in kinds:
        form = _form(kind)
        for name, definition in form.pop("$defs", {}).items():
            definitions[f"{kind.name}.{name}"] = definition
        forms.append(form)
    properties = schema["properties"]
    properties["kind"] = {"type": "string", "enum": [kind.name for kind in kinds]}
    properties["inputs"] = {"anyOf": forms}
    for name, told in FIELDS.items():
        properties[name]["description"] = told
    about = " ".join(f"{kind.name}: {kind.summary}" for kind in kinds)
    properties["kind"]["description"] = f"{FIELDS['kind']} {about}"
    schema["required"] = ["kind", "inputs"]
    if definitions:
        schema["$defs"] = definitions
    return schema


def _form(kind: Kind) -> dict[str, Any]:
    """What a kind takes; names of shared parts are prefixed, so that kinds cannot meet in them."""
    # The template is formatted, so a brace in a kind's name would be one too many.
    prefix = kind.name.replace("{", "{{").replace("}", "}}")
    form = kind.inputs.model_json_schema(ref_template=f"#/$defs/{prefix}.{{model}}")
    return {**form, "title": kind.name}
