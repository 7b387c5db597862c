"""What stands in the form of a new run before anything is typed: nothing, a preset, or a run that was."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from penstock.log.projections import RunView
from penstock.words.errors import Refused
from penstock.words.exit_codes import PROGRAM_KIND
from penstock.words.priority import Priority
from penstock.words.run_id import NAME_LABEL

if TYPE_CHECKING:
    from penstock.cli.first_word import Preset

#: What stands for the value of a variable, which may be a secret and is recorded nowhere.
_LEFT_OUT = "…"


@dataclass(frozen=True, slots=True)
class Draft:
    """Inputs and options by name, as JSON. `about` says where they come from."""

    kind: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    about: str = ""
    #: Files of variables. They are read when it is sent, and what stands in them is not shown.
    env_files: tuple[str, ...] = ()

    def with_variables(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What was typed, and the variables of the files below it. Refused if one cannot be read."""
        if not self.env_files:
            return dict(inputs)
        # What reads them is the command line's, which the first picture need not wait for.
        from penstock.cli.variables import wanted_variables

        found = wanted_variables(os.environ, (), self.env_files)
        return {**inputs, "env": {**found, **inputs.get("env", {})}}


def draft_of(view: RunView) -> Draft:
    """The same again, to be edited. It gets an id of its own; variables that are not known are left out."""
    inputs = dict(view.inputs)
    env, about = inputs.get("env"), f"as {view.run_id}"
    if isinstance(env, Mapping) and _LEFT_OUT in env.values():
        inputs["env"] = {k: v for k, v in env.items() if v != _LEFT_OUT}
        about += "; the values of its variables are recorded nowhere: type them anew"
    options = {
        "priority": Priority(view.priority).name,
        "group": view.group,
        "timeout": view.timeout,
        "labels": dict(view.labels),
        "retries": view.retries or None,
        "needs": dict(view.needs),
    }
    return Draft(view.kind, inputs, options, about)


def changes_of(before: Mapping[str, Any], typed: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that were changed; None for one that was emptied. What was never shown stays."""
    gone: dict[str, Any] = {
        name: None
        for name, value in before.items()
        if name not in typed and value not in (None, "", [], {}, ())
    }
    new = {name: value for name, value in typed.items() if before.get(name) != value}
    return {**gone, **new}


def preset_drafts() -> dict[str, Draft]:
    """The presets of the folder that this was started in, by name; none of a file that is not one."""
    from penstock.cli.first_word import find_presets

    try:
        presets = find_presets()
    except Refused:
        return {}
    drafts = {}
    for name, preset in presets.items():
        try:
            drafts[name] = _draft_of_preset(preset)
        except Refused:
            continue
    return drafts


def _draft_of_preset(preset: Preset) -> Draft:
    flags = preset.flags()
    labels = dict(pair.split("=", 1) for pair in flags["labels"])
    labels[NAME_LABEL] = flags.get("run_name", preset.name)
    env = dict(pair.split("=", 1) for pair in flags["env"])
    options: dict[str, Any] = {
        key: flags[key]
        for key in ("group", "timeout", "retries", "backoff")
        if key in flags
    }
    if "priority" in flags:
        options["priority"] = str(flags["priority"]).upper()
    inputs = {**preset.inputs(()), "cwd": preset.cwd, "env": env}
    if preset.values.get("tty") is True:
        inputs["stdin"] = "tty"
    about = f"the preset of {preset.file}"
    if files := flags["env_file"]:
        about += f", with the variables of {' '.join(map(os.path.basename, files))}"
    return Draft(PROGRAM_KIND, inputs, {**options, "labels": labels}, about, files)


def surroundings_told() -> str:
    """Where what is submitted here runs, and with what, in words."""
    try:
        folder = os.getcwd()
    except FileNotFoundError:
        folder = "a folder that was removed"
    home = os.path.expanduser("~")
    if folder == home or folder.startswith(f"{home}/"):
        folder = f"~{folder[len(home) :]}"
    return f"in {folder}, with the environment of this dashboard"
