"""What `penstock.llm` needs of DSPy beyond its documented interface. Each test says what broke."""

from __future__ import annotations

import inspect
import re
from typing import Literal

import dspy  # type: ignore[import-untyped]
import pytest
from dspy.adapters import utils  # type: ignore[import-untyped]
from dspy.utils.exceptions import AdapterParseError  # type: ignore[import-untyped]
from hypothesis import assume, given
from hypothesis import strategies as st

from penstock.llm.answer_forms import Unusable
from penstock.llm.dspy_programs import FieldAdapter, TrioLM
from penstock.llm.fields import FieldSplitter

Sample = dspy.Signature("question -> reasoning, answer")


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_an_adapter_is_called_with_what_we_override() -> None:
    """FieldAdapter.acall: `Predict.aforward` passes these by name."""
    expected = ["self", "lm", "lm_kwargs", "signature", "demos", "inputs"]
    assert (
        parameters(dspy.ChatAdapter.acall) == expected == parameters(FieldAdapter.acall)
    )
    source = inspect.getsource(dspy.Predict.aforward)
    assert (
        "adapter.acall(lm, lm_kwargs=config, signature=signature, demos=demos, inputs=kwargs)"
        in source
    )


def test_an_adapter_asks_the_model_it_was_given() -> None:
    """TrioLM.acall: the base adapter awaits it with `messages=` and takes a list of texts."""
    source = inspect.getsource(dspy.Adapter.acall)
    assert "await lm.acall(messages=messages, **lm_kwargs)" in source
    assert parameters(dspy.BaseLM.acall)[:3] == ["self", "prompt", "messages"]


def test_an_adapter_parses_by_its_own_method() -> None:
    """FieldAdapter.parse: called with the signature and the text; its error is not caught."""
    assert parameters(dspy.ChatAdapter.parse) == ["self", "signature", "completion"]
    assert "self.parse(processed_signature, text)" in inspect.getsource(
        dspy.Adapter._call_postprocess
    )
    assert not issubclass(Unusable, AdapterParseError)


def test_an_empty_answer_is_a_parse_error() -> None:
    """FieldAdapter._attempt: the only AdapterParseError that reaches it."""
    source = inspect.getsource(dspy.Adapter._call_postprocess)
    assert "The LM returned an empty or null response." in source
    assert "raise AdapterParseError" in source


def test_the_fallback_can_be_turned_off() -> None:
    """FieldAdapter.__init__: DSPy would ask again by itself, without the reason."""
    assert FieldAdapter().use_json_adapter_fallback is False
    assert "use_json_adapter_fallback" in parameters(dspy.ChatAdapter.__init__)


def test_the_form_that_is_asked_for_can_be_repeated() -> None:
    """_correct: the sentence that lists the headers."""
    form = FieldAdapter().user_message_output_requirements(Sample)
    assert "[[ ## reasoning ## ]]" in form
    assert "[[ ## completed ## ]]" in form


def test_values_are_parsed_by_their_annotation() -> None:
    """FieldAdapter.parse: `parse_value`, which raises a ValueError for what does not fit."""
    assert utils.parse_value(" as it is ", str) == " as it is "
    assert utils.parse_value("42", int) == 42
    assert utils.parse_value('["a"]', list[str]) == ["a"]
    assert utils.parse_value("b", Literal["a", "b"]) == "b"
    with pytest.raises(ValueError, match="integer"):
        utils.parse_value("x", int)


def test_fields_with_a_default_may_be_left_out() -> None:
    """FieldAdapter.parse: `apply_output_field_defaults` fills what is optional, and nothing else."""
    signature = dspy.Signature("question -> answer, note: str | None")
    assert utils.apply_output_field_defaults(signature, {"answer": "x"}) == {
        "answer": "x",
        "note": None,
    }
    assert utils.apply_output_field_defaults(Sample, {"answer": "x"}) == {"answer": "x"}


def test_a_model_of_ours_is_a_model_to_dspy() -> None:
    """TrioLM: `Predict` takes BaseLM only, and asks it for these."""
    assert issubclass(TrioLM, dspy.BaseLM)
    assert {
        "supports_function_calling",
        "supports_reasoning",
        "supports_response_schema",
    } <= set(dir(dspy.BaseLM))


def test_settings_of_a_call_stand_in_a_context() -> None:
    """execute: these names exist, and end with the block."""
    from dspy.dsp.utils.settings import DEFAULT_CONFIG  # type: ignore[import-untyped]

    assert {"lm", "adapter", "trace"} <= set(DEFAULT_CONFIG)
    with dspy.context(trace=None):
        assert dspy.settings.trace is None
    assert dspy.settings.trace == []


def test_a_synchronous_call_is_refused() -> None:
    """TrioLM.__call__: it would block the loop."""
    from penstock.llm.run_models import Question

    with pytest.raises(RuntimeError, match="acall"):
        TrioLM(Question(models=None))("hello")  # type: ignore[arg-type]


ANSWERS = st.lists(
    st.sampled_from([
        "[[ ## reasoning ## ]]\n", "[[ ## answer ## ]]\n", "[[ ## completed ## ]]\n", "text", "\n",
        "a line\n", "  indented\n", "x = [[1, 2]]\n", "[[ ## other ## ]]\n", "水門\n",
    ]),
    max_size=20,
).map("".join)  # fmt: skip


@given(ANSWERS)
def test_our_parsing_reads_what_dspys_reads(text: str) -> None:
    """FieldSplitter: the same form that DSPy asks models for, each header once."""
    headers = re.findall(r"\[\[ ## (\w+) ## \]\]", text)
    assume(len(headers) == len(set(headers)))
    splitter = FieldSplitter(Sample.output_fields)
    splitter.feed(text)
    splitter.close()
    try:
        expected = dspy.ChatAdapter().parse(Sample, text)
    except AdapterParseError:
        assert set(splitter.values) != set(Sample.output_fields)
    else:
        assert splitter.values == expected
