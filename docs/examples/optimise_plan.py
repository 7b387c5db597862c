"""Have the question `coding.plan` answered by examples of your own runs, as DSPy compiles it.

    penstock export --examples examples.jsonl
    python optimise_plan.py examples.jsonl plan.json

and in the configuration

    [programs]
    "coding.plan" = "/home/me/plan.json"

It takes the plans whose runs completed and shows the model a few of them; any other optimizer of DSPy
that saves a `Predict` may take its place, with a model of your choice.
"""

import json
import sys

import dspy

from penstock.kinds.coding.signatures import MakePlan

#: Examples that the model is shown: each costs a few hundred tokens of every prompt.
SHOWN = 3


def main(examples: str, compiled: str) -> None:
    """Read the examples, compile the question, save it."""
    good = []
    with open(examples, encoding="utf-8") as lines:
        for line in lines:
            one = json.loads(line)
            if one["question"] == "coding.plan" and one["score"] == 1:
                # What belongs to one run alone is no example to another.
                given = {
                    k: v for k, v in one["inputs"].items() if k in MakePlan.input_fields
                }
                made = {
                    k: v
                    for k, v in one["outputs"].items()
                    if k in MakePlan.output_fields
                }
                good.append(dspy.Example(**given, **made).with_inputs(*given))
    program = dspy.LabeledFewShot(k=SHOWN).compile(
        dspy.Predict(MakePlan), trainset=good
    )
    program.save(compiled)
    print(f"{len(program.demos)} of {len(good)} examples")


if __name__ == "__main__":
    main(*sys.argv[1:])
