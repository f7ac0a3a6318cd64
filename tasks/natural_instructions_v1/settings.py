"""The gin configurables of Natural Instructions v1."""

import difflib
from dataclasses import dataclass

import gin

from tk_instruct.errors import UserError
from tk_instruct.ranges import check_seed, check_whole

from .encodings import ENCODINGS
from .splits import RANDOM, task_splits


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class NaturalInstructionsV1:
    """Where the task files are, and the options that choose examples and prompts.

    Attributes:
        data: the folder of the task files, or the one that has it as tasks/ or Dataset_Jsons/.
        num_examples: of positive and of negative examples in a prompt, if its encoding has them.
        train_examples: of each task. A task with more train instances gives that many of them,
            drawn at random; one with fewer gives each of them several times. The paper's authors
            trained on 6,500 (allenai/natural-instructions-v1, issue 4). None is each instance once.
        seed: draws the train instances, and the reference that a model is trained on.
    """

    data: str | None = None
    num_examples: int = 2
    train_examples: int | None = 6500
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed("NaturalInstructionsV1.seed", self.seed)
        check_whole("NaturalInstructionsV1.num_examples", self.num_examples, 0, 1000)
        if self.train_examples is not None:
            check_whole("NaturalInstructionsV1.train_examples", self.train_examples, 1, 10**6)


@gin.configurable(module="values.tk_instruct")
def ni_v1_task(tasks: str = RANDOM, encoding: str = "full") -> str:
    """The name of the task of a split of tasks and an encoding. Gin files call it @ni_v1_task().

    So a gin file can set only one of the two. Raises UserError for an unknown split or encoding.
    """
    for name, value, known in (
        ("tasks", tasks, task_splits()),
        ("encoding", encoding, ENCODINGS),
    ):
        if value not in known:
            near = difflib.get_close_matches(str(value), known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UserError(
                f"ni_v1_task.{name}={value!r} is not known; {hint}`tk-instruct tasks list "
                "'ni_v1_*'` shows the names ni_v1_TASKS_ENCODING"
            )
    return f"ni_v1_{tasks}_{encoding}"
