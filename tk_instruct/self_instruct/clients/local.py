"""A client without a server: decodes with a run's checkpoint on this machine's devices."""

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import gin
import numpy as np
from jaxtyping import Int32

from tk_instruct import randomness
from tk_instruct.completions import Completion, Parameters, Request, before_stop
from tk_instruct.errors import UserError

if TYPE_CHECKING:
    from tk_instruct.model.language_model import LanguageModel

log = logging.getLogger("tk_instruct")

_SECONDS_TO_GATHER = 0.02  # enough for threads that were just answered to send the next request


@dataclass(frozen=True, eq=False)
class _Row:
    """A request in a batch; its compiled program depends on `shape`."""

    key: int
    tokens: list[int]
    length: int
    parameters: Parameters
    outputs: "Future[Int32[np.ndarray, ' max_tokens']]" = field(default_factory=Future)

    @property
    def shape(self) -> tuple[int, Parameters]:
        return self.length, self.parameters


@gin.configurable(module="tk_instruct")
class LocalClient:
    """One model of a run, encoder-decoder or decoder-only.

    Requests that wait at the same time are decoded as one batch, if their parameters and rounded
    lengths are the same. A batch always has batch_size rows: so the shape in which a request is
    computed, and with it the answer, does not depend on the other requests. Sampling depends only
    on (seed, request.key). Each pair (parameters, rounded length) is compiled once. The client is
    fastest when batch_size threads call it at once.

    Only the end of a prompt with more than max_input_tokens (default: as in training) is kept: it
    has the last instruction and the beginning of the completion.

    SentencePiece vocabularies such as T5's have no line break: the lines of a prompt run together,
    and the answer is one line. Then a numbered list is split at the next numbers, yes or no is the
    first word, examples begin at `Example 2`, and stop sequences with a line break do nothing. A
    vocabulary with line breaks, such as `bytes`, gives lines.

    Raises UserError if there is no such checkpoint, and if batch_size does not divide over the
    devices.
    """

    def __init__(
        self,
        model_dir: str | Path,
        step: int | Literal["best"] | None = None,
        batch_size: int = 8,
        max_input_tokens: int | None = None,
        num_partitions: int = 1,
        seed: int = 0,
    ) -> None:
        directory = Path(model_dir).expanduser()
        if not directory.is_dir():  # checked before JAX takes seconds to import
            raise UserError(f"{model_dir} is no folder; give the MODEL_DIR of a run that has saved")
        from tk_instruct import sharding
        from tk_instruct.data.tokens import FeatureLengths
        from tk_instruct.data.vocabulary import vocabulary
        from tk_instruct.inference.checkpoint import (
            check_vocabulary,
            encoding_of_run,
            load_checkpoint,
            load_model,
        )

        checkpoints, step, about = load_checkpoint(directory, step)
        check_vocabulary(about, directory)
        # With a hash of its content: another checkpoint may take its place.
        self.model = f"{checkpoints.directory / str(step)}@{checkpoints.content(step)[:16]}"
        self._vocabulary = vocabulary()
        _, has_eos = encoding_of_run(about)
        self._end = [self._vocabulary.eos_id] if has_eos else []
        self._loaded = load_model(checkpoints, step, about, num_partitions)
        sharding.check_batch_size(batch_size, self._loaded.mesh)
        trained_with = about.data.get("lengths", {}).get("inputs", 1024)
        lengths = FeatureLengths(max_input_tokens or trained_with, 2)
        self._max_input_tokens, self._batch_size, self._seed = lengths.inputs, batch_size, seed
        self._decoded = lru_cache(maxsize=None)(
            lambda parameters: self._loaded.compiled(partial(_decode, parameters))
        )
        self._lock = threading.Lock()
        self._waiting: list[_Row] = []
        self._has_cut = self._is_closed = False
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="local model")

    def close(self) -> None:
        """Finishes the batch that is being decoded; requests that wait for a later one fail."""
        with self._lock:
            self._is_closed = True
        self._fail(_closed())
        self._worker.shutdown()

    def complete(self, request: Request, idempotency_key: str) -> Completion:
        """Raises the error of the request's batch, or of a batch before it."""
        row = self._row(request)
        with self._lock:
            if self._is_closed:
                raise _closed()
            self._waiting.append(row)
            self._worker.submit(self._answer_some)
        ids = row.outputs.result().tolist()
        text = self._vocabulary.decode(ids)
        kept = before_stop(text, request.parameters.stop)
        has_ended = self._vocabulary.eos_id in ids
        return Completion(
            kept,
            "stop" if has_ended or kept != text else "length",
            self.model,
            prompt_tokens=len(row.tokens),
            completion_tokens=ids.index(self._vocabulary.eos_id) + 1 if has_ended else len(ids),
        )

    def _row(self, request: Request) -> _Row:
        from tk_instruct.inference.batches import row_length

        tokens = [*self._vocabulary.encode(request.prompt), *self._end]
        if len(tokens) > self._max_input_tokens:
            if not self._has_cut:
                self._has_cut = True
                log.warning(
                    f"a prompt has {len(tokens):,} tokens, more than the {self._max_input_tokens:,}"
                    " that the model reads: of this and other long ones only the end is kept"
                )
            tokens = tokens[-self._max_input_tokens :]
        key = randomness.draw(self._seed, "self_instruct", request.key)
        # Stop sequences do not change the compiled program.
        parameters = replace(request.parameters, stop=())
        return _Row(key, tokens, row_length(len(tokens), self._max_input_tokens), parameters)

    def _answer_some(self) -> None:
        """Decodes a batch of requests that wait, if any; called once for each request."""
        self._let_gather()
        with self._lock:
            batch = [row for row in self._waiting if row.shape == self._waiting[0].shape]
            batch = batch[: self._batch_size]
            self._waiting = [row for row in self._waiting if row not in batch]
        if not batch:
            return
        try:
            outputs = self._decode(batch)
        except BaseException as error:
            for row in batch:
                row.outputs.set_exception(error)
            self._fail(error)
            return
        for row, ids in zip(batch, outputs, strict=False):
            row.outputs.set_result(ids)

    def _let_gather(self) -> None:
        seen = 0
        while seen < len(self._waiting) < self._batch_size:
            seen = len(self._waiting)
            time.sleep(_SECONDS_TO_GATHER)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            failed, self._waiting = self._waiting, []
        for row in failed:
            row.outputs.set_exception(error)

    def _decode(self, batch: list[_Row]) -> Int32[np.ndarray, "batch_size max_tokens"]:
        from tk_instruct.inference.generation import key_data

        tokens = np.zeros((self._batch_size, batch[0].length), np.int32)
        for index in range(self._batch_size):
            row = batch[min(index, len(batch) - 1)].tokens
            tokens[index, : len(row)] = row
        return self._decoded(batch[0].parameters)(
            input_tokens=tokens,
            segment_ids=(tokens > 0).astype(np.int32),
            key_data=key_data([row.key for row in batch], self._batch_size),
        )


def _closed() -> UserError:
    return UserError("the model was closed before it answered; run it again")


def _decode(
    parameters: Parameters, model: "LanguageModel", params: Any, key_data: Any, **arrays: Any
) -> Any:
    """Target ids of a batch; this function of (params, arrays) is compiled.

    A temperature or top_p of None is 1, a penalty of None is 0: the model's own distribution.
    """
    import jax

    from tk_instruct.model.decode import greedy, sample

    settings: dict[str, Any] = {
        "max_target_tokens": parameters.max_tokens,
        "presence_penalty": parameters.presence_penalty or 0.0,
        "frequency_penalty": parameters.frequency_penalty or 0.0,
    }
    temperature = 1.0 if parameters.temperature is None else parameters.temperature
    top_p = 1.0 if parameters.top_p is None else parameters.top_p
    if temperature == 0 or top_p == 0:
        return greedy(model, params, **arrays, **settings)
    keys = jax.random.wrap_key_data(key_data, impl="threefry2x32")
    return sample(
        model,
        params,
        **arrays,
        **settings,
        keys=keys,
        temperature=temperature,
        top_p=top_p if top_p < 1 else None,
    )
