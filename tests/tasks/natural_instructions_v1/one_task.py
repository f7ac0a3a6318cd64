"""A task file with what real ones have: "- ", three negative examples, empty suggestions."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "subtask040_qasc_question_generation"
TASK: Mapping[str, Any] = {
    "Title": "Colours",
    "Prompt": "Name the colour. ",
    "Definition": " You read a sentence.\nYou name a colour.",
    "Things to Avoid": "Long answers.",
    "Emphasis & Caution": "- ",
    "Examples": {
        "Positive Examples": [{"input": "A red hat.", "output": "red", "reason": "It says so."}],
        "Negative Examples": [
            {
                "input": "A blue hat.",
                "output": "hat",
                "reason": "No colour. ",
                "suggestion": "Write blue.",
            },
            {"input": "A pink hat.", "output": "pin", "reason": "Cut off.", "suggestion": " "},
            {"input": "A grey hat.", "output": "", "reason": "Empty.", "suggestion": "-"},
        ],
    },
    "Instances": [{"input": f"Hat {k}.", "output": [f"colour {k}", "other"]} for k in range(161)],
}


def write(folder: Path, name: str = NAME, **changes: Any) -> Path:
    """Writes the task, with some fields changed, as a file of that name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**TASK, **changes}), encoding="utf-8")
    return path
