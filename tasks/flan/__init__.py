"""FLAN 2021 (arXiv:2109.01652) and the weights of FLAN 2022 (arXiv:2301.13688).

`import tk_instruct.tasks.flan.mixtures` declares its tasks and mixtures to SeqIO.
"""

from tk_instruct.suite import Flag, Suite

_HERE = "tk_instruct.tasks.flan"

SUITE = Suite(
    name="flan",
    summary="FLAN: 62 datasets of TFDS in 12 clusters, ten templates each",
    configurables=(f"{_HERE}.settings",),
    flags=(
        Flag(
            "flan_templates",
            binds="FLAN.templates",
            macro="FLAN_TEMPLATES",
            is_place=True,
            metavar="DIR",
            help="a checkout of google-research/FLAN, whose wording is used in place of this "
            "project's",
        ),
    ),
    seeds=("FLAN.seed",),
    tasks=f"{_HERE}.tasks",
    mixtures=f"{_HERE}.mixtures",
    evaluations={"flan": f"{_HERE}.evaluate"},
    doctor=f"{_HERE}.doctor:diagnose",
    mini=f"{_HERE}.mini",
    scores=f"{_HERE}.scores:SCORES",
    published=f"{_HERE}.published:rows",
    origins=f"{_HERE}.tasks:origins",
    licence="The datasets of FLAN (arXiv:2109.01652), each under its own licence, which its page "
    "in the TensorFlow Datasets catalogue names.",
)
