"""Suites: one folder each, with all that its paper defines. tk_instruct.suite is the contract."""

# The suite of verbs that are not told which.
DEFAULT = "superni"
