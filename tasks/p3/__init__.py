"""T0 and P3 (arXiv:2110.08207): data sets of Hugging Face under PromptSource's prompts.

`import tk_instruct.tasks.p3.mixtures` declares its tasks and mixtures to SeqIO.
"""

from tk_instruct.suite import Flag, Suite

_HERE = "tk_instruct.tasks.p3"

SUITE = Suite(
    name="p3",
    summary="T0 and P3: PromptSource's prompts on Hugging Face's data sets",
    configurables=(f"{_HERE}.settings",),
    flags=(
        Flag(
            "p3_templates",
            binds="P3.templates",
            macro="P3_TEMPLATES",
            is_place=True,
            metavar="DIR",
            help="a checkout of promptsource, an unpacked source archive of its package, or your "
            "own tree of templates.yaml files (default: a small tree of this project)",
        ),
        Flag(
            "p3_data",
            binds="P3.data",
            macro="P3_DATA",
            is_place=True,
            metavar="DIR",
            help="Hugging Face's files, DATASET[/SUBSET]/SPLIT*.parquet, .jsonl or .jsonl.gz; what "
            "is not there is looked for in TFDS's data",
        ),
    ),
    seeds=("P3.seed",),
    tasks=f"{_HERE}.tasks",
    mixtures=f"{_HERE}.mixtures",
    evaluations={"p3": f"{_HERE}.evaluate"},
    doctor=f"{_HERE}.doctor:diagnose",
    mini=f"{_HERE}.mini",
    scores=f"{_HERE}.scores:SCORES",
    published=f"{_HERE}.published:rows",
    origins=f"{_HERE}.tasks:origins",
    licence="Prompts of PromptSource (arXiv:2202.01279): Apache 2.0. Each data set is under its "
    "own licence, which its page on Hugging Face's Hub names.",
)
