"""Super-NaturalInstructions (arXiv:2204.07705).

`import tk_instruct.tasks.superni.mixtures` declares its tasks and mixtures to SeqIO.
"""

from tk_instruct.ranges import true_or_false, whole_number
from tk_instruct.suite import Flag, Suite

_HERE = "tk_instruct.tasks.superni"

SUITE = Suite(
    name="superni",
    summary="Super-NaturalInstructions: 1,616 tasks, English and x-lingual tracks",
    configurables=(f"{_HERE}.records", f"{_HERE}.settings", f"{_HERE}.mini"),
    flags=(
        Flag(
            "data_dir",
            binds="SuperNI.data_dir",
            macro="DATA_DIR",
            is_place=True,
            metavar="DIR",
            help="a natural-instructions checkout, with tasks/ and splits/ "
            "(else $TK_INSTRUCT_SUPERNI_DIR)",
        ),
        Flag(
            "max_instances_per_train_task",
            binds="SuperNI.max_instances_per_train_task",
            type=whole_number,
            metavar="N",
            help="default: 100",
        ),
        Flag(
            "max_instances_per_eval_task",
            binds="SuperNI.max_instances_per_eval_task",
            type=whole_number,
            metavar="N",
            help="default: 100",
        ),
        Flag(
            "num_train_tasks",
            binds="SuperNI.num_train_tasks",
            type=whole_number,
            metavar="N",
            help="train tasks to train on, drawn by the seed (default: all)",
        ),
        Flag(
            "supervised",
            binds="SuperNI.supervised",
            type=true_or_false,
            options={"nargs": "?", "const": True},
            metavar="true",
            help="train on the test tasks' other instances than the evaluated: an upper bound",
        ),
        Flag(
            "num_dev_tasks",
            binds="SuperNI.num_dev_tasks",
            type=whole_number,
            metavar="N",
            help="train tasks to set aside (default: 0)",
        ),
        Flag(
            "tokenization",
            binds="SuperNI.tokenization",
            metavar="NAME",
            help="released for Tk-Instruct's published checkpoints, whose tokenizer keeps the "
            "space at a prompt's end (default: seqio)",
        ),
    ),
    seeds=("SuperNI.seed",),
    tasks=f"{_HERE}.tasks",
    mixtures=f"{_HERE}.mixtures",
    evaluations={"superni": f"{_HERE}.evaluate"},
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
    licence="Super-NaturalInstructions (arXiv:2204.07705): Apache-2.0 for the collection. The "
    "licence of each dataset in it is named, where it is known, in its task file (`Instance "
    "License`).",
)
