"""How models are asked for fields, and how these are read: in sections, as one JSON object, in blocks of code.

Text in, fields out, and Unusable says why not. Of sections DSPy makes the question. Importing this module
imports DSPy, as `dspy_programs` does, which asks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_origin

import dspy  # type: ignore[import-untyped]
from dspy.adapters.utils import (  # type: ignore[import-untyped]
    apply_output_field_defaults,
    parse_value,
)
from pydantic import Field as PydanticField
from pydantic import TypeAdapter, ValidationError, create_model

from penstock.llm.context import LAYERS_HERE
from penstock.llm.fields import FieldSplitter
from penstock.llm.grammar_schema import grammar_schema
from penstock.llm.http import quote
from penstock.llm.reading import (
    BlockSplitter,
    read_json,
    read_list,
    unfenced,
    without_thoughts,
)
from penstock.llm.run_models import AnswerForm

#: Words of JSON schema by which a signature bounds its fields.
_BOUNDS = ("maxItems", "maxLength", "minItems", "pattern")

#: Words of an example from which on an answer that has it was not thought of.
_EXAMPLE_WORDS = 6

#: How prompts name the JSON object and the blocks that are asked for.
ASKS_JSON = "Answer with one JSON object and nothing else"
ASKS_BLOCKS = "Answer with these blocks of code, each between ``` lines"


class Unusable(Exception):
    """An answer without the form that was asked for."""

    def __init__(
        self, name: str, why: str, kept: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name
        self.why = why
        #: Fields that can be used; only the others are asked for again.
        self.kept = kept or {}


def make_schema(signature: type[dspy.Signature]) -> dict[str, Any]:
    """What the output fields may be, as one closed JSON object with all of them."""
    fields: dict[str, Any] = {}
    for name, info in signature.output_fields.items():
        extra = info.json_schema_extra
        bounds = {key: extra[key] for key in _BOUNDS if key in extra}
        field = PydanticField(description=extra["desc"], json_schema_extra=bounds)
        fields[name] = (info.annotation, field)
    return grammar_schema(create_model("Answer", **fields).model_json_schema())


def make_messages(
    form: AnswerForm,
    signature: type[dspy.Signature],
    demos: list[dict[str, Any]],
    inputs: dict[str, Any],
) -> list[dict[str, Any]]:
    """What is sent to a model that is to answer in JSON or in blocks."""
    describe = _describe_json if form == "json" else _describe_blocks
    told = [{"role": "system", "content": describe(signature)}]
    for demo in demos:
        given = {k: v for k, v in demo.items() if k in signature.output_fields}
        said = json.dumps(given) if form == "json" else as_blocks(given)
        told += [
            {"role": "user", "content": _describe_inputs(signature, demo)},
            {"role": "assistant", "content": said},
        ]
    asked = _describe_inputs(signature, inputs)
    return [*told, {"role": "user", "content": asked}]


def _describe_json(signature: type[dspy.Signature]) -> str:
    example = {
        name: (info.examples or [""])[0]
        for name, info in signature.output_fields.items()
    }
    lines = [
        f"{ASKS_JSON}, like this one for another task:\n{json.dumps(example)}",
        *[
            f"`{name}`: {info.json_schema_extra['desc']}"
            for name, info in signature.output_fields.items()
        ],
    ]
    return f"{signature.instructions}\n\n" + "\n".join(lines)


def _describe_blocks(signature: type[dspy.Signature]) -> str:
    wanted = [
        f"{number}. `{name}`: {info.json_schema_extra['desc']}"
        for number, (name, info) in enumerate(signature.output_fields.items(), 1)
    ]
    # An example says it better than words: else small models put everything into one block. What may be
    # left out is left out of it.
    form = as_blocks({
        name: _example_block(name, info)
        for name, info in signature.output_fields.items()
        if info.is_required()
    })  # fmt: skip
    told = "\n".join(wanted)
    return f"{signature.instructions}\n\n{ASKS_BLOCKS}:\n{told}\n\nLike this, for another task:\n\n{form}"


def _example_block(name: str, info: Any) -> str:
    """What stands in the block of a field in the example of the form."""
    return str((info.examples or [f"({name})"])[0])


def _describe_inputs(signature: type[dspy.Signature], inputs: Mapping[str, Any]) -> str:
    """What is known, in the order of the signature, what does not change first; nothing of nothing."""
    parts = [
        f"{name.replace('_', ' ').capitalize()}:\n{inputs[name]}"
        for name in signature.input_fields
        if inputs.get(name) not in (None, "", "(none)")
    ]
    # What the question is about stands last, and the run's history just before it.
    return "\n\n".join([*parts[:-1], *(LAYERS_HERE + part for part in parts[-1:])])


def as_blocks(fields: Mapping[str, Any]) -> str:
    """Fields as a model writes them in blocks."""
    return "\n\n".join(f"```\n{str(text).rstrip()}\n```" for text in fields.values())


def make_splitter(
    form: AnswerForm, signature: type[dspy.Signature]
) -> FieldSplitter | BlockSplitter:
    """What streams of this form; JSON streams nothing, since half of it means nothing."""
    if form == "blocks":
        return BlockSplitter(signature.output_fields)
    return FieldSplitter(() if form == "json" else signature.output_fields)


def read_answer(
    form: AnswerForm, signature: type[dspy.Signature], completion: str
) -> dict[str, Any]:
    """The fields of a whole answer: the same text that the stream gave. Unusable names one."""
    completion = without_thoughts(completion)
    if form == "json":
        found = _read_object(signature, completion)
        _refuse_examples(signature, found, form)
        return _complete(signature, found, form)
    splitter = make_splitter(form, signature)
    splitter.feed(completion)
    splitter.close()
    if form == "blocks":
        _refuse_examples(signature, splitter.values, form)
    fields: dict[str, Any] = {}
    for name, text in splitter.values.items():
        try:
            fields[name] = _read_value(text, signature.output_fields[name].annotation)
        except ValueError as error:
            raise Unusable(name, _why(error)) from None
    return _complete(signature, fields, form)


def _complete(
    signature: type[dspy.Signature], fields: dict[str, Any], form: AnswerForm
) -> dict[str, Any]:
    complete: dict[str, Any] = apply_output_field_defaults(signature, fields)
    for name in signature.output_fields:
        if name not in complete:
            where = {
                "sections": f"the section `[[ ## {name} ## ]]`",
                "json": f"the key {name!r}",
                "blocks": "its block of code",
            }[form]
            raise Unusable(
                name, f"{where} is missing", fields if form == "blocks" else None
            )
    return complete


def _read_object(signature: type[dspy.Signature], completion: str) -> dict[str, Any]:
    first = next(iter(signature.output_fields))
    try:
        value = read_json(completion)
    except ValueError as error:
        raise Unusable(first, str(error)) from None
    # A model that was asked for a list in an object may give the list.
    found = value if isinstance(value, dict) else {first: value}
    fields: dict[str, Any] = {}
    for name, info in signature.output_fields.items():
        if name in found:
            given = found[name]
            if given is None and get_origin(info.annotation) is list:
                given = []
            elif isinstance(given, dict | str) and get_origin(info.annotation) is list:
                given = [given] if given else []
            try:
                fields[name] = TypeAdapter(info.annotation).validate_python(given)
            except ValidationError as error:
                raise Unusable(name, _why(error)) from None
    return fields


def _read_value(text: str, annotation: Any) -> Any:
    """The value of a section: as DSPy reads it or, if it cannot, without what models put around it."""
    try:
        return parse_value(text, annotation)
    except ValueError as error:
        why = error
    try:
        if get_origin(annotation) is list:
            return TypeAdapter(annotation).validate_python(read_list(text))
        return parse_value(unfenced(text).strip(), annotation)
    except ValueError:
        # What is wrong is told of the answer as it was.
        raise why from None


def _refuse_examples(
    signature: type[dspy.Signature], fields: Mapping[str, Any], form: AnswerForm
) -> None:
    """Unusable if a field has what its example has: small models repeat that when they have nothing to say."""
    repeated = []
    for name, value in fields.items():
        info = signature.output_fields[name]
        if form == "blocks":
            is_example = value.split() == _example_block(name, info).split()
        else:
            is_example = any(
                _has_example(value, example) for example in info.examples or ()
            )
        repeated += [name] if is_example else []
    if repeated:
        kept = {k: v for k, v in fields.items() if k not in repeated}
        why = "that is only the example, which is of another task"
        raise Unusable(repeated[0], why, kept if form == "blocks" else None)


def _has_example(value: Any, example: Any) -> bool:
    """Whether a value is that of the example, or a list has an item of it; a few words may well be the same."""
    if isinstance(value, list) and isinstance(example, list):
        return any(_has_example(one, other) for one in value for other in example)
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    shown = json.dumps(example)
    long = len(shown.split()) >= _EXAMPLE_WORDS
    return long and json.dumps(value, default=str) == shown


def _why(error: ValueError) -> str:
    """The first thing that is wrong with a value, short."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else str(first["msg"])
    return quote(str(error))
