"""What is offered for a word that is begun: runs by verb, filters, groups, names of what there is.

With each key the daemon is asked once or twice; nothing is offered where it does not answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.replies import is_open
from penstock.cli.session import Session, session_of
from penstock.words.errors import PenstockError
from penstock.words.exit_codes import PROGRAM_KIND
from penstock.words.lifecycle import OPEN_STATES, TERMINAL_STATES
from penstock.words.placement import BOX_LABEL
from penstock.words.priority import Priority
from penstock.words.run_id import AGENT_LABEL, GENERATED, NAME_LABEL
from penstock.words.sentences import SENTENCES, about
from penstock.words.text import neutralise

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: Runs offered: more than fit a screen help nobody.
MOST_OFFERED = 50
#: Runs that are looked at: a page.
MOST_LOOKED_AT = 500
#: verb -> which runs it can do something with; all, for those that are not here.
WANTED: Mapping[str, str] = {
    "cancel": "state:open",
    "wait": "state:open",
    "intervene": "state:open",
    "say": "kind:agent",
    "attach": "state:running",
    "pause": "state:running",
    "resume": "state:paused",
    "send": "state:running",
    "retry": "state:ended",
    "diff": "state:ended",
    "apply": "state:ended",
    "stash": "state:queued",
    "enqueue": "state:queued",
    "move": "state:queued",
    "priority": "state:queued",
    "edit": "state:queued",
}
#: The agents in the order in which people are told of them; the kind, which has them too, takes a second to
#: import.
AGENT_NAMES = (
    "claude", "codex", "opencode", "gemini", "qwen", "goose", "copilot", "cursor", "fast-agent", "kimi",
)  # fmt: skip
#: Words that stand for runs.
SETS: Mapping[str, str] = {
    "@last": "the newest",
    "@running": "all that run",
    "@queued": "all in line",
    "@failed": "all that failed and were not tried again",
    "@open": "all that have not ended",
    "@all": "all",
}
#: Keys of a filter, as they are typed.
KEYS = ("state:", "kind:", "group:", "label:", "prio:", "box:", "parent:")


def offer_runs(
    ctx: click.Context, param: click.Parameter, begun: str
) -> list[CompletionItem[str]]:
    """Runs that the verb can do something with, newest first: by number, or by the id that was chosen."""
    if begun.startswith("@"):
        return _items(SETS, begun)
    if ":" in begun or " " in begun:
        return offer_filters(ctx, param, begun)
    verb = str(ctx.info_name)
    wanted = "state:open" if param.name == "after" else WANTED.get(verb, "")
    if verb in ("answer", "asks"):
        runs = _asking(session_of(ctx))
    else:
        runs = _runs(session_of(ctx), wanted)
    named = {name: told for run in runs for name, told in _names(run, begun)}
    keys = {} if param.nargs != -1 or not begun else dict.fromkeys(KEYS, "")
    return _items({**named, **keys}, begun)[:MOST_OFFERED]


def offer_filters(
    ctx: click.Context, _param: click.Parameter, begun: str
) -> list[CompletionItem[str]]:
    """Terms of a filter; of one with spaces in it the last."""
    before, space, term = begun.rpartition(" ")
    key, colon, _ = term.partition(":")
    if not colon:
        offered = _items(dict.fromkeys(KEYS, ""), term)
    else:
        values = _values(session_of(ctx), key)
        offered = _items({f"{key}:{value}": "" for value in values}, term)
    for item in offered:
        item.value = before + space + item.value
    return offered


def offer_groups(
    ctx: click.Context, _param: click.Parameter, begun: str
) -> list[CompletionItem[str]]:
    """The groups of the configuration that the daemon has."""
    return _items(dict.fromkeys(_groups(session_of(ctx)), ""), begun)


def offer_labels(
    ctx: click.Context, _param: click.Parameter, begun: str
) -> list[CompletionItem[str]]:
    """What the boxes have that runs may ask for, and which of them."""
    having: dict[str, list[str]] = {}
    for box in _boxes(session_of(ctx)):
        for name, value in {BOX_LABEL: box["box"], **box["labels"]}.items():
            having.setdefault(f"{name}={value}", []).append(box["box"])
    return _items({label: ", ".join(names) for label, names in having.items()}, begun)


def offer_boxes(
    ctx: click.Context, _param: click.Parameter, begun: str
) -> list[CompletionItem[str]]:
    """The boxes that there are."""
    boxes = _boxes(session_of(ctx))
    return _items({box["box"]: str(box["standing"]) for box in boxes}, begun)


def offer_runs_or_priorities(
    ctx: click.Context, param: click.Parameter, begun: str
) -> list[CompletionItem[str]]:
    """Runs, or the priority that comes last: where the runs end is not known before it is there."""
    levels = _values(session_of(ctx), "prio") if begun else ()
    found = _items(dict.fromkeys(levels, ""), begun)
    return [*found, *offer_runs(ctx, param, begun)]


def offer_schedules(
    ctx: click.Context, _param: click.Parameter, begun: str
) -> list[CompletionItem[str]]:
    """The schedules that there are, by what they run."""
    try:
        rows = session_of(ctx).call(lambda client: client.get("schedules"))["schedules"]
    except PenstockError:
        return []
    return _items({row["name"]: about(row["inputs"]) for row in rows}, begun)


def offer_artifacts(
    ctx: click.Context, _param: click.Parameter, begun: str
) -> list[CompletionItem[str]]:
    """The texts that the run has made which stands before it."""
    view = _view(session_of(ctx), ctx.params.get("run_id") or "")
    names = [told["artifact_id"] for told in view.get("artifacts", ())]
    return _items(dict.fromkeys(names, ""), begun)


def offer_answers(
    ctx: click.Context, _param: click.Parameter, begun: str
) -> list[CompletionItem[str]]:
    """The choices that the run gives which stands before it."""
    view = _view(session_of(ctx), ctx.params.get("run_id") or "")
    asks = [ask for ask in view.get("asks", ()) if is_open(ask)]
    return _items({c: ask["question"] for ask in asks for c in ask["choices"]}, begun)


def offer_agents(
    ctx: click.Context, param: click.Parameter, begun: str
) -> list[CompletionItem[str]]:
    """Agents for the first word, also for the last of several; what is to be done nobody knows."""
    if ctx.params.get(str(param.name)):
        return []
    # Those of the configuration are known by what they have done.
    used = (
        run["labels"].get(AGENT_LABEL, "")
        for run in _runs(session_of(ctx), "kind:agent")
    )
    before, comma, _last = begun.rpartition(",")
    names = dict.fromkeys([*AGENT_NAMES, *filter(None, used)])
    return _items({f"{before}{comma}{name}": "" for name in names}, begun)


def offer_types(
    _ctx: click.Context, _param: click.Parameter, begun: str
) -> list[CompletionItem[str]]:
    """The types of facts."""
    return _items(dict.fromkeys(SENTENCES, ""), begun)


def offer_programs(
    ctx: click.Context, _param: click.Parameter, begun: str
) -> list[CompletionItem[str]]:
    """Programs of the caller's PATH; behind one, what that program's own completion offers."""
    from click.shell_completion import CompletionItem

    if argv := ctx.params.get("argv"):
        return [CompletionItem(argv[0], type="program")]
    return programs_like(session_of(ctx).environ, begun)


def programs_like(environ: Mapping[str, str], begun: str) -> list[CompletionItem[str]]:
    """Programs that begin like this; none where nothing is begun, for a box has thousands."""
    from click.shell_completion import CompletionItem

    if "/" in begun:
        return [CompletionItem(begun, type="file")]
    if not begun:
        return []
    found: set[str] = set()
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        found.update(
            name
            for name in names
            if name.startswith(begun) and os.access(os.path.join(folder, name), os.X_OK)
        )
    return _items(dict.fromkeys(sorted(found), "program"), begun)[:MOST_OFFERED]


def _items(offers: Mapping[str, str], begun: str) -> list[CompletionItem[str]]:
    """Those that begin so, without what could turn a terminal's line around."""
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(word, help=neutralise(told))
        for word, told in offers.items()
        if word.startswith(begun) and neutralise(word) == word
    ]


def _names(run: Mapping[str, Any], begun: str) -> Iterable[tuple[str, str]]:
    """What a run can be called by here, and what it is."""
    run_id, number = run["run_id"], str(run.get("number") or "")
    said = run.get("labels", {}).get(NAME_LABEL) or about(run.get("inputs", {}))
    told = f"{said or run.get('kind', '')} ({run['state']})"
    if number and (GENERATED.fullmatch(run_id) or begun.isdecimal()):
        yield number, told
    # One that nobody has chosen is offered to whoever has begun to type it.
    if begun or not GENERATED.fullmatch(run_id):
        yield run_id, told


def _runs(session: Session, wanted: str) -> list[dict[str, Any]]:
    try:
        page = session.call(lambda client: client.runs(wanted, limit=MOST_LOOKED_AT))
    except PenstockError:
        return []
    rows: list[dict[str, Any]] = page["runs"]
    return rows


def _asking(session: Session) -> list[dict[str, Any]]:
    try:
        asks = session.call(lambda client: client.get("asks"))["asks"]
    except PenstockError:
        return []
    return [
        {"run_id": ask["run_id"], "state": "asks", "kind": ask["question"]}
        for ask in asks
    ]


def _view(session: Session, word: str) -> dict[str, Any]:
    try:
        run_id = session.call(lambda client: client.select(word))["runs"][0]["run_id"]
        return session.call(lambda client: client.run(run_id))
    except PenstockError:
        return {}


def _groups(session: Session) -> list[str]:
    try:
        return list(session.call(lambda client: client.get("queue"))["groups"])
    except PenstockError:
        return []


def _boxes(session: Session) -> list[dict[str, Any]]:
    try:
        told = session.call(lambda client: client.get("boxes"))["boxes"]
    except PenstockError:
        return []
    return list(told)


def _values(session: Session, key: str) -> Iterable[str]:
    """What may stand behind a key of a filter."""
    match key:
        case "state":
            return (*OPEN_STATES, *TERMINAL_STATES, "open", "ended")
        case "prio" | "priority":
            return [priority.name.lower() for priority in Priority]
        case "group":
            return _groups(session)
        case "kind":
            from penstock.cli.first_word import kind_names

            return sorted({PROGRAM_KIND, *kind_names()})
        case "label":
            runs = _runs(session, "")
            labels = (label for run in runs for label in run["labels"].items())
            return dict.fromkeys(f"{name}={value}" for name, value in labels)
        case "box":
            return [row["box"] for row in _boxes(session)]
        case "parent":
            return dict.fromkeys(
                run["parent_id"] for run in _runs(session, "") if run["parent_id"]
            )
        case _:
            return ()
