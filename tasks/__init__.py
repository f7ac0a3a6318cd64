"""The suites. Each folder has all that its paper defines. tk_instruct.suite is the contract."""

# The suite that verbs use without --suite.
DEFAULT = "superni"
