"""Natural Instructions v1 (arXiv:2104.08773).

`import tk_instruct.tasks.natural_instructions_v1.mixtures` declares its tasks to SeqIO.
"""

from tk_instruct.ranges import whole_number
from tk_instruct.suite import Flag, Suite, TaskForm

_HERE = "tk_instruct.tasks.natural_instructions_v1"

SUITE = Suite(
    name="ni_v1",
    summary="Natural Instructions v1: 61 tasks of six categories, each split of the paper",
    configurables=(f"{_HERE}.settings", f"{_HERE}.mini"),
    flags=(
        Flag(
            "ni_v1_data",
            binds="NaturalInstructionsV1.data",
            macro="NI_V1_DATA",
            is_place=True,
            metavar="DIR",
            help="the folder of Natural Instructions v1's subtask*.json, or the one that has it as "
            "tasks/ (else $TK_INSTRUCT_NI_V1_DIR)",
        ),
        Flag(
            "ni_v1_examples",
            binds="NaturalInstructionsV1.num_examples",
            type=whole_number,
            metavar="N",
            help="positive and negative examples in a prompt, N of each (default: 2)",
        ),
        Flag(
            "ni_v1_train_examples",
            binds="NaturalInstructionsV1.train_examples",
            type=whole_number,
            metavar="N",
            help="train examples of each task; a task with fewer instances gives them several "
            "times (default: 6500)",
        ),
    ),
    seeds=("NaturalInstructionsV1.seed",),
    tasks=f"{_HERE}.tasks",
    mixtures=f"{_HERE}.mixtures",
    evaluations={"ni_v1": f"{_HERE}.evaluate"},
    doctor=f"{_HERE}.doctor:diagnose",
    mini=f"{_HERE}.mini",
    baselines={
        "copy_demo": f"{_HERE}.baselines:copy_demo",
        "copy_input": f"{_HERE}.baselines:copy_input",
    },
    labelled=f"{_HERE}.baselines:labelled",
    scores=f"{_HERE}.scores:SCORES",
    published=f"{_HERE}.published:rows",
    origins=f"{_HERE}.tasks:origins",
    task_forms={
        "ni_v1": TaskForm(
            f"{_HERE}.task_files:read",
            told_by=frozenset({"Definition", "Things to Avoid", "Examples", "Instances"}),
        )
    },
    licence="Natural Instructions v1 (arXiv:2104.08773): Apache-2.0 for its repository. The "
    "instances are under the licences of their source datasets.",
)
