"""What the answers say of the server: when the same failure again and again must end the run."""

from tk_instruct.completions import Completion, RefusedError, Request
from tk_instruct.completions.reasoning import without_reasoning
from tk_instruct.errors import UserError

_MOST_REFUSED = 20  # prompts in a row; with more the fault is not in the prompts
_MOST_SILENT = 4  # answers in a row that reach max_tokens and say nothing


class Server:
    """Counts failures in a row; one thread at a time may use it.

    Attributes:
        was_reached: whether any request has reached the server.
    """

    def __init__(self) -> None:
        self.was_reached = False
        self._num_refused = self._num_silent = 0

    def failed(self, error: Exception) -> None:
        self.was_reached |= getattr(error, "was_reached", True)

    def refused(self, error: RefusedError) -> None:
        """Raises UserError when the server refuses one prompt after the other."""
        self._num_refused += 1
        if self._num_refused > _MOST_REFUSED:
            raise UserError(
                f"the server has refused {self._num_refused} prompts on end (the last: {error}); "
                "correct the parameters of this stage in gin, or take another model, and run it "
                "again: it goes on"
            )

    def completed(self) -> None:
        self.was_reached, self._num_refused = True, 0

    def check_speaks(self, request: Request, is_silent: bool) -> None:
        """Raises UserError when one answer after the other is silent."""
        self._num_silent = self._num_silent + 1 if is_silent else 0
        if self._num_silent >= _MOST_SILENT:
            name, most = f"{request.scope}/Parameters.max_tokens", request.parameters.max_tokens
            repair = request.repairs.get(
                "max_tokens",
                f"raise it (--gin.{name}={max(2048, 4 * most)}), or take "
                "--gin_file=servers/reasoning.gin",
            )
            ended_at = "max_tokens" if request.repairs else name
            raise UserError(
                f"the last {self._num_silent} answers had said nothing yet when they ended at "
                f"{ended_at}={most}: the model reasons before it answers; {repair}, and run it "
                "again: it goes on"
            )


def is_silent(completion: Completion) -> bool:
    """Whether an answer ends at max_tokens and is empty, or only reasoning, up to there."""
    if completion.log_probability is not None:
        return False
    said = without_reasoning(completion.text) or ""
    return completion.finish_reason == "length" and not said.strip()
