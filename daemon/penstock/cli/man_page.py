"""The man page, made of the commands: every verb with its options and its example."""

from __future__ import annotations

from collections.abc import Iterator

import click

from penstock import __version__
from penstock.cli.kind_commands import Kinds
from penstock.words.exit_codes import CODES, CODES_OF_RUNS

#: Where it lies below a folder of data, as `man` looks for it.
PLACE = "man/man1/penstock.1"


def man_page(cli: click.Group, *, foreign: bool = True) -> str:
    """The page in the language of man(7). `foreign`: the verbs of other packages too."""
    names = cli.context_settings.get("help_option_names")
    root = click.Context(cli, info_name="penstock", help_option_names=names)
    lines = [
        f'.TH PENSTOCK 1 "" "penstock {__version__}" "User Commands"',
        ".SH NAME",
        r"penstock \- queue and run commands and agents, and prove how each ended",
        ".SH SYNOPSIS",
        r".B penstock",
        r"[\fIoptions\fR] \fIverb\fR [\fIarguments\fR]",
        ".SH DESCRIPTION",
        *_paragraphs(cli.help or ""),
        ".SH OPTIONS",
        *_options(cli, root),
        ".SH VERBS",
    ]
    # Late: this module is read by the one that has the table.
    from penstock.cli.main import ALIASES, VERBS

    ours = [verb for verbs in VERBS.values() for verb in verbs]
    short = {head: alias for alias, head in ALIASES.items()}
    others = [verb for verb in cli.list_commands(root) if verb not in ours]
    for verb in [*ours, *(others if foreign else ())]:
        command = cli.get_command(root, verb)
        if command is not None:
            lines += _verb(command, root, verb, short.get(verb))
    lines += [".SH EXIT STATUS", *_codes(CODES)]
    lines += ["As of run, follow, wait and attach:", *_codes(CODES_OF_RUNS)]
    return "\n".join(lines) + "\n"


def _verb(
    command: click.Command, root: click.Context, name: str, alias: str | None
) -> Iterator[str]:
    ctx = click.Context(command, info_name=name, parent=root)
    yield f".SS {_text(name)}{f' ({alias})' if alias else ''}"
    usage = " ".join(command.collect_usage_pieces(ctx))
    yield f".B penstock {_text(name)}"
    yield _text(usage)
    yield from _paragraphs(command.help or "")
    if isinstance(command, Kinds):
        yield from _options(command.of_programs, ctx)
    else:
        yield from _options(command, ctx)
        if isinstance(command, click.Group):
            yield from _below(command, ctx, name)
    yield from _paragraphs(command.epilog or "")


def _below(group: click.Group, ctx: click.Context, name: str) -> Iterator[str]:
    """The verbs below a verb, each with its options."""
    for below in group.list_commands(ctx):
        command = group.get_command(ctx, below)
        if command is None:
            continue
        inner = click.Context(command, info_name=below, parent=ctx)
        pieces = [piece for piece in command.collect_usage_pieces(inner) if piece]
        yield ".PP"
        yield f".B penstock {_text(name)} {_text(below)}"
        yield _text(" ".join(pieces))
        yield from _paragraphs(command.help or "")
        yield from _options(command, inner)


def _options(command: click.Command, ctx: click.Context) -> Iterator[str]:
    for parameter in command.get_params(ctx):
        if not isinstance(parameter, click.Option) or parameter.hidden:
            continue
        if "--help" in parameter.opts and ctx.parent is not None:
            continue
        names = ", ".join([*parameter.opts, *parameter.secondary_opts])
        value = "" if parameter.is_flag else parameter.make_metavar(ctx)
        yield ".TP"
        yield rf"\fB{_text(names)}\fR {_text(value)}".rstrip()
        yield from _flowing(parameter.help or "")


def _paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a help text; those behind \\b keep their lines."""
    for paragraph in text.strip().split("\n\n"):
        lines = [line.strip() for line in paragraph.strip().splitlines()]
        if not lines:
            continue
        yield ".PP"
        if lines[0] == "\b":
            yield ".nf"
            yield from map(_text, lines[1:])
            yield ".fi"
        else:
            yield from _flowing(" ".join(lines))


def _flowing(text: str) -> Iterator[str]:
    if text.strip():
        yield _text(" ".join(text.split()))


def _codes(codes: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for code, meaning in codes:
        yield ".TP"
        yield rf"\fB{_text(code)}\fR"
        yield _text(meaning)
    yield ".PP"


def _text(text: str) -> str:
    """As troff takes it for text, whatever stands in it."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("`", r"\(ga")
    return rf"\&{text}" if text[:1] in (".", "'") else text
