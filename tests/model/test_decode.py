"""Decoding against Hugging Face's, against obvious loops, and row by row."""

import importlib.util
import math
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import unflatten_dict

from tk_instruct.model import build
from tk_instruct.model.config import config_from_fields
from tk_instruct.model.decode import beam_search, greedy, option_scores, sample
from tk_instruct.model.language_model import LanguageModel

GOLDENS = Path(__file__).parents[1] / "goldens"


def _load_golden_script() -> Any:
    path = GOLDENS / "make_decode_goldens.py"
    spec = importlib.util.spec_from_file_location("make_decode_goldens", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


golden = _load_golden_script()
INPUTS = golden.inputs()
SEGMENTS = (INPUTS > 0).astype(np.int32)
MAX_TARGET_TOKENS = golden.MAX_TARGET_TOKENS
T5: LanguageModel = build(config_from_fields(golden.SIZES))
_COMMON = {key: size for key, size in golden.SIZES.items() if "num_" not in key or "heads" in key}
PREFIX: LanguageModel = build(config_from_fields({**_COMMON, "num_layers": 2}))
CAUSAL: LanguageModel = build(
    config_from_fields({**_COMMON, "num_layers": 2, "bidirectional_inputs": False})
)
each_model = pytest.mark.parametrize("model", [T5, PREFIX, CAUSAL], ids=["t5", "prefix", "causal"])


@cache
def flat_params(model: LanguageModel, seed: int = 0) -> dict[str, np.ndarray]:
    shapes = golden.parameter_shapes(model)
    return {name: golden.weight(name, shape, seed) for name, shape in shapes.items()}


def params_of(model: LanguageModel, seed: int = 0) -> Any:
    return unflatten_dict(flat_params(model, seed), sep="/")


@partial(jax.jit, static_argnums=0)
def jitted_option_logits(model: LanguageModel, params: Any, *arrays: Any) -> Any:
    return model.apply({"params": params}, *arrays, method="option_logits")


def logits_after(model: LanguageModel, row: Any, prefixes: Any) -> np.ndarray:
    """Logits of every next token of each prefix [prefixes ≤ 3, length], without a cache."""
    count, length = np.shape(prefixes)
    options = np.zeros((3, MAX_TARGET_TOKENS + 1), np.int32)
    options[:count, :length] = prefixes
    logits = jitted_option_logits(
        model, params_of(model), row[None], (row > 0)[None].astype(np.int32), options[None]
    )
    return np.asarray(logits[0, :count, length])


@cache
def jitted(function: Any, model: LanguageModel, max_target_tokens: int) -> Any:
    penalties = ("presence_penalty", "frequency_penalty")
    static = {
        greedy: penalties,
        sample: ("top_k", *penalties),
        beam_search: ("num_beams",),
    }[function]
    return jax.jit(
        partial(function, model, max_target_tokens=max_target_tokens), static_argnames=static
    )


def decode(
    function: Any,
    model: LanguageModel,
    inputs: Any,
    *keys: Any,
    seed: int = 0,
    max_target_tokens: int = MAX_TARGET_TOKENS,
    **settings: Any,
) -> Any:
    compiled, ids = jitted(function, model, max_target_tokens), (inputs > 0).astype(np.int32)
    return jax.device_get(compiled(params_of(model, seed), inputs, ids, *keys, **settings))


def test_greedy_is_that_of_hugging_face() -> None:
    expected = np.load(GOLDENS / "decode.npz")["greedy"]
    np.testing.assert_array_equal(decode(greedy, T5, INPUTS), expected)


@pytest.mark.parametrize("name", list(golden.BEAM_SEARCHES))
def test_beam_search_is_that_of_hugging_face(name: str) -> None:
    expected = np.load(GOLDENS / "decode.npz")
    sequences, scores = decode(beam_search, T5, INPUTS, **golden.BEAM_SEARCHES[name])
    np.testing.assert_array_equal(sequences, expected[name])
    np.testing.assert_allclose(scores, expected[f"{name}_scores"], rtol=1e-5)


def test_other_weights_generate_as_in_hugging_face() -> None:
    """Live, so that what is installed is compared, and on weights of which no golden is kept."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    seed = 1
    model = golden.hugging_face_model(flat_params(T5, seed))
    tokens = np.random.default_rng(seed).integers(2, 32, INPUTS.shape, np.int32) * SEGMENTS
    expected, _ = golden.generate(model, tokens)
    np.testing.assert_array_equal(decode(greedy, T5, tokens, seed=seed), expected)
    for settings in golden.BEAM_SEARCHES.values():
        expected, expected_scores = golden.generate(model, tokens, **settings)
        found, scores = decode(beam_search, T5, tokens, seed=seed, **settings)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(scores, expected_scores, rtol=1e-5)


@each_model
def test_greedy_takes_the_argmax_of_the_whole_model(model: LanguageModel) -> None:
    for row, found in zip(INPUTS, decode(greedy, model, INPUTS), strict=True):
        tokens: list[int] = []
        while len(tokens) < MAX_TARGET_TOKENS and tokens[-1:] != [1]:
            tokens.append(int(np.argmax(logits_after(model, row, [tokens]))))
        assert found.tolist() == tokens + [0] * (MAX_TARGET_TOKENS - len(tokens))


@each_model
def test_penalties_lower_the_logits_of_what_was_generated(model: LanguageModel) -> None:
    presence, frequency = 0.7, 0.4
    settings: Any = {"presence_penalty": presence, "frequency_penalty": frequency}
    together = decode(greedy, model, INPUTS, **settings)
    assert (together != decode(greedy, model, INPUTS)).any(axis=1).sum() > 1
    keys = jax.vmap(jax.random.key)(np.arange(8, dtype=np.uint32))
    drawn = decode(sample, model, INPUTS, keys, temperature=0.7, **settings)
    for row, key, likeliest, found in zip(INPUTS, keys, together, drawn, strict=True):
        assert likeliest.tolist() == _penalised(model, row, presence, frequency)
        assert found.tolist() == _penalised(model, row, presence, frequency, key, 0.7)


def _penalised(
    model: LanguageModel,
    row: Any,
    presence: float,
    frequency: float,
    key: Any = None,
    temperature: float = 1.0,
) -> list[int]:
    tokens: list[int] = []
    while len(tokens) < MAX_TARGET_TOKENS and tokens[-1:] != [1]:
        logits = logits_after(model, row, [tokens])[0].copy()
        for token in range(len(logits)):
            if token in tokens:
                logits[token] -= presence + frequency * tokens.count(token)
        logits /= temperature
        if key is not None:
            logits += np.asarray(
                jax.random.gumbel(jax.random.fold_in(key, len(tokens)), logits.shape)
            )
        tokens.append(int(np.argmax(logits)))
    return tokens + [0] * (MAX_TARGET_TOKENS - len(tokens))


@each_model
def test_beam_search_keeps_whole_hypotheses(model: LanguageModel) -> None:
    """Without a cache to reorder: the textbook's search over lists of tokens."""
    settings = {"num_beams": 3, "length_penalty": 0.7}
    sequences, scores = decode(beam_search, model, INPUTS, **settings)
    for row, found, score in list(zip(INPUTS, sequences, scores, strict=True))[:4]:
        tokens, expected = _search(model, row, **settings)
        assert found[: len(tokens)].tolist() == tokens
        assert not found[len(tokens) :].any()
        assert score == pytest.approx(expected, rel=1e-5)


def _search(
    model: LanguageModel, row: Any, num_beams: int, length_penalty: float
) -> tuple[list[int], float]:
    running, finished = [(0.0, [])], []  # type: ignore[var-annotated]
    for length in range(1, MAX_TARGET_TOKENS + 1):
        log_probs = jax.nn.log_softmax(logits_after(model, row, [t for _, t in running]))
        continued = sorted(
            (
                (score + float(log_prob), [*tokens, token])
                for (score, tokens), row_log_probs in zip(running, log_probs, strict=True)
                for token, log_prob in enumerate(row_log_probs)
            ),
            reverse=True,
        )[: 2 * num_beams]
        ended = [c for c in continued if c[1][-1] == 1 or length == MAX_TARGET_TOKENS]
        finished += [(c[0] / length**length_penalty, c[1]) for c in ended if c in continued[:3]]
        finished = sorted(finished, reverse=True)[:num_beams]
        running = [c for c in continued if c not in ended][:num_beams]
        best_possible = running[0][0] / length**length_penalty if running else -math.inf
        if len(finished) == num_beams and best_possible <= finished[-1][0]:
            break
    return finished[0][1], finished[0][0]


def sampled(inputs: Any, seeds: Any, temperature: float = 1.0, **settings: Any) -> np.ndarray:
    keys = jax.vmap(jax.random.key)(np.asarray(seeds, np.uint32))
    return decode(sample, T5, inputs, keys, temperature=temperature, **settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, lambda p: p),
        ({"temperature": 0.5}, lambda p: p**2),
        ({"top_k": 3}, lambda p: p * (p >= np.sort(p)[-3])),
        ({"top_k": 1000, "top_p": 0.6}, lambda p: p * _in_nucleus(p, 0.6)),
        (
            {"temperature": 2.0, "top_k": 5, "top_p": 0.7},
            lambda p: np.sqrt(p) * _in_nucleus(np.sqrt(p) * (p >= np.sort(p)[-5]), 0.7),
        ),
    ],
    ids=["plain", "temperature", "top_k", "top_p", "all"],
)
def test_samples_follow_the_distribution(settings: dict[str, Any], expected: Any) -> None:
    """Of the first token, over many keys: the total variation from what is to be expected."""
    row, draws = INPUTS[5], 4096
    rows = np.tile(row, (draws, 1))
    drawn = sampled(rows, np.arange(draws), max_target_tokens=1, **settings)[:, 0]
    weights = expected(np.asarray(jax.nn.softmax(logits_after(T5, row, [[]])[0]), np.float64))
    weights /= weights.sum()
    counts = np.bincount(drawn, minlength=len(weights))
    assert not counts[weights == 0].any()
    assert 0.5 * np.abs(counts / draws - weights).sum() < 0.05


def _in_nucleus(weights: np.ndarray, top_p: float) -> np.ndarray:
    chosen, total = np.zeros(len(weights), bool), 0.0
    for token in np.argsort(-weights):
        chosen[token] = True
        total += weights[token] / weights.sum()
        if total >= top_p:
            break
    return chosen


def test_samples_depend_on_their_key_only() -> None:
    together, order = sampled(INPUTS, range(8)), [6, 1, 4, 0, 3, 2, 7, 5]
    assert (together[order] == sampled(INPUTS[order], order)).all()
    assert (together != sampled(INPUTS, range(8, 16))).any(axis=1).all()
    same_input = sampled(np.tile(INPUTS[4], (8, 1)), range(8))
    assert len({tuple(row) for row in same_input}) == 8
    # One key draws anew at each position: a stuck one would repeat what it has drawn once.
    assert any(len(set(row.tolist())) > 4 for row in same_input)


def test_sampling_the_one_likeliest_token_is_greedy() -> None:
    expected = decode(greedy, T5, INPUTS)
    np.testing.assert_array_equal(sampled(INPUTS, range(8), top_p=1e-6), expected)
    np.testing.assert_array_equal(sampled(INPUTS, range(8), temperature=1e-5), expected)


@pytest.mark.parametrize("model", [T5, PREFIX], ids=["t5", "prefix"])
@pytest.mark.parametrize("num_beams", [None, 3])
def test_the_other_rows_and_padding_do_not_matter(
    model: LanguageModel, num_beams: int | None
) -> None:
    def tokens(inputs: Any) -> Any:
        if num_beams is None:
            return decode(greedy, model, inputs)
        return decode(beam_search, model, inputs, num_beams=num_beams, length_penalty=1.0)[0]

    together, order = tokens(INPUTS), [6, 1, 4, 0, 3, 2, 7, 5]
    assert len({tuple(row) for row in together}) > 4
    np.testing.assert_array_equal(tokens(INPUTS[order]), together[order])
    for rows in ([0, 1, 3], [2, 5, 1], [4, 6, 7]):
        wider = np.pad(INPUTS[rows], ((0, 0), (0, 5)))
        np.testing.assert_array_equal(tokens(wider), together[rows])


@pytest.mark.parametrize("function", [greedy, beam_search])
def test_stops_when_every_row_is_done(function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    row = INPUTS[decode(greedy, T5, INPUTS)[:, 0] == 1]  # which ends with its first token
    assert len(row) == 1
    steps = []
    original = type(T5).decode_step

    def counted(self: Any, tokens: Any, state: Any) -> Any:
        jax.debug.callback(lambda step: steps.append(int(step)), state.position)
        return original(self, tokens, state)

    monkeypatch.setattr(type(T5), "decode_step", counted)
    settings = {"num_beams": 2, "length_penalty": 0.0} if function is beam_search else {}
    found = jax.jit(partial(function, T5, max_target_tokens=MAX_TARGET_TOKENS, **settings))(
        params_of(T5), row, (row > 0).astype(np.int32)
    )
    jax.effects_barrier()
    tokens = (found[0] if function is beam_search else found)[0]
    assert tokens.tolist() == [1] + [0] * (MAX_TARGET_TOKENS - 1)
    assert sorted(steps) == list(range(len(steps)))
    assert len(steps) == 1 if function is not beam_search else 1 < len(steps) < 8


OPTIONS = np.array(
    [[[5, 9, 1, 0], [7, 1, 0, 0], [5, 9, 3, 1]], [[1, 0, 0, 0], [9, 8, 7, 1], [0, 0, 0, 0]]],
    np.int32,
)


jitted_option_scores = jax.jit(option_scores, static_argnums=0)


@each_model
def test_option_scores_sum_the_log_probabilities(model: LanguageModel) -> None:
    scores = jitted_option_scores(model, params_of(model), INPUTS[:2], SEGMENTS[:2], OPTIONS)
    for row, options, found in zip(INPUTS, OPTIONS, np.asarray(scores), strict=False):
        for option, score in zip(options, found, strict=True):
            tokens, expected = option[option > 0].tolist(), 0.0
            for i, token in enumerate(tokens):
                log_probs = jax.nn.log_softmax(logits_after(model, row, [tokens[:i]])[0])
                expected += float(log_probs[token])
            assert score == pytest.approx(expected, abs=1e-4)


def test_inputs_are_encoded_once_for_all_options() -> None:
    encoded = []

    def count(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if context.method_name == "encode":
            encoded.append(args[0].shape)
        return call(*args, **kwargs)

    with nn.intercept_methods(count):
        option_scores(T5, params_of(T5), INPUTS[:2], SEGMENTS[:2], OPTIONS)
    assert OPTIONS.shape[1] > 1
    assert encoded == [INPUTS[:2].shape]


def test_option_scores_are_those_of_hugging_face() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    model = golden.hugging_face_model(flat_params(T5))
    scores = jitted_option_scores(T5, params_of(T5), INPUTS[:2], SEGMENTS[:2], OPTIONS)
    for row, options, found in zip(INPUTS, OPTIONS, np.asarray(scores), strict=False):
        for option, score in zip(options[:2], found, strict=False):
            targets = torch.tensor([[0, *option[option > 0]]])
            with torch.no_grad():
                logits = model(
                    input_ids=torch.tensor(row[None, row > 0]).long(),
                    decoder_input_ids=targets[:, :-1],
                ).logits
            log_probs = torch.log_softmax(logits[0], -1)
            expected = log_probs.gather(1, targets[0, 1:, None]).sum().item()
            assert score == pytest.approx(expected, abs=1e-4)
