"""How much work a model gets done: coding, plans, judgements, descriptions, judged by program."""
