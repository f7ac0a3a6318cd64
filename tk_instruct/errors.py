"""The one exception whose message is meant for the person at the terminal."""


class UserError(Exception):
    """Something the user can repair; the message says the value, the rule and the repair."""
