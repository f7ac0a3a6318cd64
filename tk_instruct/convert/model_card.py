"""The model card of an exported model; it has only what the checkpoint records."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from tk_instruct import __version__
from tk_instruct.checkpoint import Description
from tk_instruct.convert.huggingface import family_of
from tk_instruct.convert.tensors import Checkpoint
from tk_instruct.files import Path
from tk_instruct.scores import as_table, key_of, read_file

_MOST_TASKS = 20

LicenceOf = Callable[[str], str | None]
"""The name of a task → what it is of and under which licence; None where that is not known."""


def compose(checkpoint: Checkpoint, name: str, licence_of: LicenceOf) -> str:
    """README.md of a Hugging Face folder of that name, with the front matter that the hub reads.

    licence_of gives the text for each task in the training data.
    """
    about = checkpoint.about
    sections = [
        "---\nlibrary_name: transformers\npipeline_tag: text2text-generation\n---",
        f"# {name}",
        _model(checkpoint),
        _use(name),
        "## Training\n\n" + (_training(about, checkpoint.step) if about else _UNKNOWN_TRAINING),
        "## Data\n\n" + _data(about.data.get("content", {}) if about else {}, licence_of),
    ]
    scores = _scores(checkpoint)
    if scores:
        sections.append(f"## Scores\n\n{scores}")
    if about and about.gin.strip():
        recipe = _without_folders(about.gin.strip())
        sections.append(f"## Recipe\n\n```gin\n{recipe}\n```")
    return "\n\n".join(sections) + "\n"


_UMT5_NOTE = (
    "transformers 5 before 5.24 divides umT5's logits by the square root of the width even where, "
    "as in umT5, they do not come from the embedding. The most likely token is the same, "
    "likelihoods and sampling are not; transformers 4, and 5 since 5.24, do not divide."
)
_UNKNOWN_TRAINING = "Not recorded in the checkpoint that these weights come from."


def _model(checkpoint: Checkpoint) -> str:
    config: Any = checkpoint.config
    rows = [
        ["", "value"],
        ["architecture", f"{describe(checkpoint)}, encoder-decoder"],
        ["parameters", f"{checkpoint.num_parameters():,}"],
        ["layers", f"{config.num_encoder_layers} + {config.num_decoder_layers}"],
        ["width", f"{config.d_model}"],
        ["heads", f"{config.num_heads} of {config.head_dim}"],
        ["feed-forward width", f"{config.d_ff}"],
        ["rows of embeddings", f"{config.vocab_size}"],
        ["weights", "float32"],
    ]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    table = "\n".join([lines[0], "| --- | --- |", *lines[1:]])
    return f"{table}\n\n{_UMT5_NOTE}" if family_of(config) == "umt5" else table


def describe(checkpoint: Checkpoint) -> str:
    """The family and version of the model, such as T5 1.1."""
    config = checkpoint.config
    if not hasattr(config, "num_encoder_layers"):
        return "decoder alone"
    family = family_of(config)
    if family != "t5":
        return {"mt5": "mT5", "umt5": "umT5"}[family]
    if checkpoint.vocabulary == "bytes":
        return "ByT5"
    return "T5 1.0" if config.logits_via_embedding else "T5 1.1"


def _use(name: str) -> str:
    return f"""## Use

```python
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{name}")
model = AutoModelForSeq2SeqLM.from_pretrained("{name}")
prompt = "Definition: … Now complete the following example - Input: … Output:"
outputs = model.generate(**tokenizer(prompt, return_tensors="pt"), max_new_tokens=128)
print(tokenizer.decode(outputs[0], skip_special_tokens=True))
```

With tk-instruct, of which this is version {__version__}:

```
tk-instruct convert {name} RUN --to ours
tk-instruct predict --model_dir RUN --task TASK
tk-instruct train --gin_file=RECIPE --gin.INITIAL_CHECKPOINT_PATH={name}
```"""


def _training(about: Description, step: int) -> str:
    data = about.data
    start = re.search(r"^INITIAL_CHECKPOINT_PATH = ['\"](.+)['\"]", about.gin, re.MULTILINE)
    if "mixture" not in data:
        return about.gin.lstrip("# ").strip() or _UNKNOWN_TRAINING
    facts = [
        f"Trained to step {step:,} on `{data['mixture']}` with tk-instruct",
        f"from `{Path(start[1]).name}`" if start else "",
        f"rows of {data['lengths']['inputs']} input and {data['lengths']['targets']} target tokens",
        f"{data['batch_size']} rows a batch" if "batch_size" in data else "",
        f"seed {data['seed']}" if "seed" in data else "",
    ]
    return ", ".join(fact for fact in facts if fact) + "."


def _data(content: Mapping[str, Any], licence_of: LicenceOf) -> str:
    if not content:
        return "Not recorded in the checkpoint that these weights come from."
    names = sorted(content)
    shown = ", ".join(f"`{name}`" for name in names[:_MOST_TASKS])
    more = f" and {len(names) - _MOST_TASKS} more" if len(names) > _MOST_TASKS else ""
    licences = {name: licence_of(name) for name in names}
    known = list(dict.fromkeys(text for text in licences.values() if text))
    unknown = [name for name, text in licences.items() if not text]
    if unknown:
        known.append(f"{', '.join(f'`{name}`' for name in unknown)}: licence not recorded.")
    tasks = "task" if len(names) == 1 else "tasks"
    return f"{len(names)} {tasks}: {shown}{more}.\n\n" + "\n".join(f"- {text}" for text in known)


def _scores(checkpoint: Checkpoint) -> str:
    """The scores of the checkpoint's step, as `tk-instruct report` shows them."""
    if checkpoint.about is None:
        return ""
    folder = Path(checkpoint.path).parent.parent / "scores"
    found = {}
    for path in sorted(folder.glob("*.json")):
        key, step = key_of(path.name) or (("", ""), None)
        if step == checkpoint.step and isinstance(scores := read_file(path), dict):
            found[key] = scores
    if not found:
        return ""
    return f"```\n{as_table({f'step {checkpoint.step}': found})}\n```"


def _without_folders(text: str) -> str:
    """Shortens each path of a machine in a configuration to its last part."""
    return re.sub(r"(['\"])(?:/|~/)(?:[^'\"\n]*/)?([^'\"/\n]+)/?\1", r"\1\2\1", text)
