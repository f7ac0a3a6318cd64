"""Self-Instruct (arXiv:2212.10560): training on generated instructions, and people's ratings.

`import tk_instruct.tasks.self_instruct.mixtures` declares its tasks to SeqIO.
"""

from tk_instruct.suite import Flag, Suite

_HERE = "tk_instruct.tasks.self_instruct"

SUITE = Suite(
    name="self_instruct",
    summary="Self-Instruct: generated instructions, and 252 instructions of users",
    configurables=(f"{_HERE}.settings",),
    flags=(
        Flag(
            "self_instruct_data",
            binds="SelfInstructData.path",
            macro="SELF_INSTRUCT_DATA",
            is_place=True,
            metavar="PATH",
            help="a run of `tk-instruct self-instruct`, its prepared/train.jsonl, or a file of "
            "Alpaca, Self-Instruct or P3 records (else $TK_INSTRUCT_SELF_INSTRUCT_DATA)",
        ),
        Flag(
            "user_oriented",
            binds="SelfInstructData.user_oriented",
            macro="USER_ORIENTED",
            is_place=True,
            metavar="FILE",
            help="Self-Instruct's user-oriented instructions (else $TK_INSTRUCT_USER_ORIENTED)",
        ),
    ),
    seeds=("SelfInstructData.seed",),
    tasks=f"{_HERE}.tasks",
    mixtures=f"{_HERE}.mixtures",
    evaluations={"user_oriented": f"{_HERE}.rating"},
    published=f"{_HERE}.published:rows",
    licence="Self-Instruct (arXiv:2212.10560): Apache-2.0 for the seed tasks. What a language "
    "model has generated from them falls under the terms of that model.",
)
