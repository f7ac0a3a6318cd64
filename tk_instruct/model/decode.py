"""Decoding: from inputs to target tokens, and the log-probability of given targets.

Each row of the inputs is one example; segment ids are 1 on its tokens and 0 on the padding after
them. Each row of the result depends only on its own row of the inputs.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tk_instruct.model.language_model import DecodeState, LanguageModel, repeat_rows


def greedy(
    model: LanguageModel,
    params: Any,
    input_tokens: Int[Array, "batch length"],
    segment_ids: Int[Array, "batch length"],
    *,
    max_target_tokens: int,
    presence_penalty: float = 0.0,
    frequency_penalty: float = 0.0,
    eos_id: int = 1,
) -> Int[Array, "batch max_target_tokens"]:
    """The most likely next token, again and again, up to and including the first `eos_id`.

    After its end a row is 0. Decoding stops when every row has ended, so short answers cost little.
    The penalties lower the logits of tokens that the row has generated before, see `_penalised`;
    they are constants of the compiled program.
    """

    def choose(logits: Array, position: Array) -> Array:
        return _likeliest(logits)

    penalties = (presence_penalty, frequency_penalty)
    return _token_by_token(
        model, params, input_tokens, segment_ids, choose, max_target_tokens, penalties, eos_id
    )


def sample(
    model: LanguageModel,
    params: Any,
    input_tokens: Int[Array, "batch length"],
    segment_ids: Int[Array, "batch length"],
    keys: Key[Array, " batch"],
    *,
    max_target_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    presence_penalty: float = 0.0,
    frequency_penalty: float = 0.0,
    eos_id: int = 1,
) -> Int[Array, "batch max_target_tokens"]:
    """Tokens drawn from softmax(logits / temperature), up to and including the first `eos_id`.

    First the top_k likeliest tokens are kept and renormalised. Of these, the fewest whose
    probabilities reach top_p are kept (nucleus sampling, arXiv:1904.09751). Order and meaning are
    those of Hugging Face's `generate`; tied tokens are all kept. The draw of a row depends only on
    its own key. After its end a row is 0. The penalties are those of `greedy`; they apply before
    the division by the temperature.
    """

    def choose(logits: Array, position: Array) -> Array:
        logits = logits / temperature
        if top_k is not None:
            logits = _only_top_k(logits, top_k)
        if top_p is not None:
            logits = _only_top_p(logits, top_p)
        # The maximum of logits plus Gumbel noise is a draw from their softmax.
        noise = jax.vmap(
            lambda key: jax.random.gumbel(jax.random.fold_in(key, position), logits.shape[1:])
        )(keys)
        return _likeliest(logits + noise)

    penalties = (presence_penalty, frequency_penalty)
    return _token_by_token(
        model, params, input_tokens, segment_ids, choose, max_target_tokens, penalties, eos_id
    )


def _likeliest(logits: Float[Array, "batch vocab"]) -> Int[Array, " batch"]:
    # XLA's argmax takes six times as long on a CPU.
    return jax.lax.top_k(logits, 1)[1][:, 0]


def _only_top_k(logits: Float[Array, "batch vocab"], top_k: int) -> Float[Array, "batch vocab"]:
    lowest = jax.lax.top_k(logits, min(top_k, logits.shape[-1]))[0][:, -1:]
    return jnp.where(logits >= lowest, logits, -jnp.inf)


def _only_top_p(logits: Float[Array, "batch vocab"], top_p: float) -> Float[Array, "batch vocab"]:
    """Finds the lowest probability to keep by bisection, in 1/50 of the time of a sort."""
    probabilities = jax.nn.softmax(logits)
    # The bits of non-negative floats, read as integers, have the order of the floats.
    bits = jax.lax.bitcast_convert_type(probabilities, jnp.int32)

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        enough, too_few = bounds
        middle = enough + (too_few - enough) // 2
        kept = jnp.sum(probabilities, axis=-1, keepdims=True, where=bits >= middle)
        is_enough = kept >= top_p
        return jnp.where(is_enough, middle, enough), jnp.where(is_enough, too_few, middle)

    all_of_them = jnp.zeros((len(logits), 1), jnp.int32)
    lowest, _ = jax.lax.fori_loop(0, 30, halve, (all_of_them, all_of_them + (1 << 30)))
    return jnp.where(bits >= lowest, logits, -jnp.inf)


def _penalised(
    logits: Float[Array, "batch vocab"],
    counts: Int[Array, "batch vocab"],
    presence_penalty: float,
    frequency_penalty: float,
) -> Float[Array, "batch vocab"]:
    """The formula of OpenAI's API reference; counts say how often each token was generated.

    logits - counts · frequency_penalty - (counts > 0) · presence_penalty
    """
    return logits - counts * frequency_penalty - (counts > 0) * presence_penalty


# (tokens [rows], state) → (logits of the target after them [rows, vocab], state)
Step = Callable[[Array, DecodeState], tuple[Array, DecodeState]]


def _start(
    model: LanguageModel,
    params: Any,
    input_tokens: Int[Array, "batch length"],
    segment_ids: Int[Array, "batch length"],
    max_target_tokens: int,
) -> tuple[Int[Array, " batch"], DecodeState, Step]:
    """The tokens before the first targets, the state there, and the function of a step."""
    apply: Any = partial(model.apply, {"params": params})
    first, state = apply(input_tokens, segment_ids, max_target_tokens, method="prefill")
    return first, state, partial(apply, method="decode_step")


def _token_by_token(
    model: LanguageModel,
    params: Any,
    input_tokens: Int[Array, "batch length"],
    segment_ids: Int[Array, "batch length"],
    choose: Callable[[Float[Array, "batch vocab"], Int[Array, ""]], Int[Array, " batch"]],
    max_target_tokens: int,
    penalties: tuple[float, float],
    eos_id: int,
) -> Int[Array, "batch max_target_tokens"]:
    """choose(logits, position) gives each row's token at that position of the targets."""
    first, state, step = _start(model, params, input_tokens, segment_ids, max_target_tokens)

    def unfinished(carry: tuple) -> Array:
        _, ended, _, _, state = carry
        return (state.position < max_target_tokens) & ~jnp.all(ended)

    def emit(carry: tuple) -> tuple:
        last, ended, outputs, counts, state = carry
        position = state.position
        logits, state = step(last, state)
        if counts is not None:
            logits = _penalised(logits, counts, *penalties)
        token = jnp.where(ended, 0, choose(logits, position).astype(jnp.int32))
        outputs = jax.lax.dynamic_update_slice_in_dim(outputs, token[:, None], position, axis=1)
        if counts is not None:
            counts = counts.at[jnp.arange(len(token)), token].add(1)
        return token, ended | (token == eos_id), outputs, counts, state

    batch_size = input_tokens.shape[0]
    outputs = jnp.zeros((batch_size, max_target_tokens), jnp.int32)
    vocab_size = model.config.vocab_size
    counts = jnp.zeros((batch_size, vocab_size), jnp.int32) if any(penalties) else None
    start = (first, jnp.zeros(batch_size, bool), outputs, counts, state)
    return jax.lax.while_loop(unfinished, emit, start)[2]


class Hypotheses(NamedTuple):
    """The best target sequences of each example so far, best first; an absent one scores -inf."""

    sequences: Int[Array, "batch hypotheses max_target_tokens"]
    scores: Float[Array, "batch hypotheses"]

    def best(self, count: int) -> tuple["Hypotheses", Int[Array, "batch count"]]:
        """The best ones, and their indices."""
        scores, chosen = jax.lax.top_k(self.scores, count)
        sequences = jnp.take_along_axis(self.sequences, chosen[:, :, None], axis=1)
        return Hypotheses(sequences, scores), chosen


def beam_search(
    model: LanguageModel,
    params: Any,
    input_tokens: Int[Array, "batch length"],
    segment_ids: Int[Array, "batch length"],
    *,
    num_beams: int,
    length_penalty: float = 1.0,
    max_target_tokens: int,
    eos_id: int = 1,
) -> tuple[Int[Array, "batch max_target_tokens"], Float[Array, " batch"]]:
    """The best target sequence that beam search finds, 0 after its end, and its score.

    The score is the sum of log-probabilities, EOS included, / (number of tokens)**length_penalty.
    Hypotheses, scores and end of the search are those of Hugging Face's `generate` with
    early_stopping=False. In each step the 2·num_beams best continuations are taken. Those that have
    not ended are continued. Those that have ended, and are among the first num_beams, compete for
    the num_beams results. A row is done when its best unfinished sequence, scored at its present
    length, is worse than all its results. The longest sequences end without EOS.
    """
    first, state, step = _start(model, params, input_tokens, segment_ids, max_target_tokens)
    batch_size = input_tokens.shape[0]
    rows = jnp.arange(batch_size)[:, None] * num_beams

    def unfinished(carry: tuple) -> Array:
        _, _, _, improvable, state = carry
        return (state.position < max_target_tokens) & jnp.any(improvable)

    def extend(carry: tuple) -> tuple:
        last, running, finished, improvable, state = carry
        position = state.position
        logits, state = step(last.reshape(-1), state)
        log_probs = jax.nn.log_softmax(logits).reshape(batch_size, num_beams, -1)
        vocab_size = log_probs.shape[-1]
        scores = (running.scores[:, :, None] + log_probs).reshape(batch_size, -1)
        scores, flat = jax.lax.top_k(scores, 2 * num_beams)
        parents, tokens = flat // vocab_size, flat % vocab_size
        sequences = jnp.take_along_axis(running.sequences, parents[:, :, None], axis=1)
        sequences = jax.lax.dynamic_update_slice_in_dim(
            sequences, tokens[:, :, None], position, axis=2
        )

        length = position + 1
        normaliser = length.astype(jnp.float32) ** length_penalty
        ended = (tokens == eos_id) | (length == max_target_tokens)
        going_on = Hypotheses(sequences, jnp.where(ended, -jnp.inf, scores))
        running, chosen = going_on.best(num_beams)
        eligible = ended & (jnp.arange(2 * num_beams) < num_beams) & improvable[:, None]
        results = Hypotheses(
            jnp.concatenate([finished.sequences, sequences], axis=1),
            jnp.concatenate(
                [finished.scores, jnp.where(eligible, scores / normaliser, -jnp.inf)], axis=1
            ),
        )
        finished, _ = results.best(num_beams)
        worst = finished.scores[:, -1]
        improvable &= jnp.isneginf(worst) | (running.scores[:, 0] / normaliser > worst)

        last = jnp.take_along_axis(tokens, chosen, axis=1)
        came_from = (rows + jnp.take_along_axis(parents, chosen, axis=1)).reshape(-1)
        past = jax.tree.map(lambda leaf: leaf[came_from], state.past)
        return last, running, finished, improvable, state._replace(past=past)

    sequences = jnp.zeros((batch_size, num_beams, max_target_tokens), jnp.int32)
    none = Hypotheses(sequences, jnp.full((batch_size, num_beams), -jnp.inf))
    start = (
        jnp.repeat(first[:, None], num_beams, axis=1),
        none._replace(scores=none.scores.at[:, 0].set(0.0)),  # one empty sequence, not num_beams
        none,
        jnp.ones(batch_size, bool),
        state._replace(past=repeat_rows(state.past, num_beams)),
    )
    finished: Hypotheses = jax.lax.while_loop(unfinished, extend, start)[2]
    return finished.sequences[:, 0], finished.scores[:, 0]


def option_scores(
    model: LanguageModel,
    params: Any,
    input_tokens: Int[Array, "batch length"],
    segment_ids: Int[Array, "batch length"],
    options: Int[Array, "batch options targets"],
) -> Float[Array, "batch options"]:
    """The summed log-probability of each option's tokens, which must end with EOS.

    Options are padded with 0; an absent option is all 0. Inputs are encoded once for all options.
    """
    logits: Any = model.apply(
        {"params": params}, input_tokens, segment_ids, options, method="option_logits"
    )
    chosen = jnp.take_along_axis(logits, options[..., None], axis=-1)[..., 0]
    log_probs = chosen - jax.nn.logsumexp(logits, axis=-1)
    return jnp.sum(log_probs, axis=-1, where=options > 0)
