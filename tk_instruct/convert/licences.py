"""Under which licence a task's data is, for the model card."""

# The beginning of a task's name → what the task is of, and the terms that its sources state.
_TEXTS = {
    "superni_": (
        "Super-NaturalInstructions (arXiv:2204.07705): Apache-2.0 for the collection. The licence "
        "of each dataset in it is named, where it is known, in its task file (`Instance License`)."
    ),
    "ni_v1_": (
        "Natural Instructions v1 (arXiv:2104.08773): Apache-2.0 for the collection. The datasets "
        "that it was made from keep their own licences."
    ),
    "flan_": (
        "The datasets of FLAN (arXiv:2109.01652), each under its own licence, which its page in "
        "the TensorFlow Datasets catalogue names."
    ),
    "p3_": (
        "P3 (arXiv:2110.08207): Apache-2.0 for the prompts. Each dataset keeps its own licence."
    ),
    "self_instruct": (
        "Self-Instruct (arXiv:2212.10560): Apache-2.0 for the seed tasks. What a language model "
        "has generated from them falls under the terms of that model."
    ),
}


def licence_of(task: str) -> str | None:
    """The text for a task, by the beginning of its name; None where it is not known."""
    return next((text for beginning, text in _TEXTS.items() if task.startswith(beginning)), None)
