"""The gin configurable of Natural Instructions v1."""

from dataclasses import dataclass

import gin

from tk_instruct.ranges import check_seed, check_whole


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class NaturalInstructionsV1:
    """Where the task files are, and the options that choose examples and prompts.

    Attributes:
        data: the folder of the task files, or the one that has it as tasks/ or Dataset_Jsons/.
        num_examples: of positive and of negative examples in a prompt, if its encoding has them.
        max_train_instances: of each task, drawn at random. None is all.
        seed: draws the train instances, and the reference that a model is trained on.
    """

    data: str | None = None
    num_examples: int = 2
    max_train_instances: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed("NaturalInstructionsV1.seed", self.seed)
        check_whole("NaturalInstructionsV1.num_examples", self.num_examples, 0, 1000)
        if self.max_train_instances is not None:
            name = "NaturalInstructionsV1.max_train_instances"
            check_whole(name, self.max_train_instances, 1, 2**31 - 1)
