"""The exceptions whose message is meant for the person at the terminal."""


class UserError(Exception):
    """Something the user can repair; the message says the value, the rule and the repair."""


class MissingDataError(UserError):
    """Data that is not there; a mixture can do without it if the user says so."""


class EmptySplitError(UserError):
    """A split that the data and the options leave without examples, where others have some."""
