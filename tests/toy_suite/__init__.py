"""A suite of sums: the smallest one that has every part of the contract."""

from tk_instruct.suite import Flag, Suite

SUITE = Suite(
    name="toy",
    summary="sums, such as 2+3=5, one a line",
    configurables=("toy_suite.tasks",),
    flags=(Flag("toy_dir", binds="toy_sums.directory", macro="TOY_DIR", help="the sums"),),
    tasks="toy_suite.tasks",
    evaluations={"toy": "toy_suite.evaluate"},
    doctor="toy_suite.tasks:diagnose",
    mini="toy_suite.mini",
    baselines={"first_number": "toy_suite.tasks:first_number"},
    scores="toy_suite.evaluate:SCORES",
    licence="The toy suite's sums: CC0.",
)
