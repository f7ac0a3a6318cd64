"""A checkpoint as a client: its answers against the engine's, one by one and from many threads."""

import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tk_instruct import randomness
from tk_instruct.completions import Completion, Parameters, Request
from tk_instruct.data.vocabulary import fingerprint, vocabulary
from tk_instruct.errors import UserError
from tk_instruct.inference import checkpoint, generation
from tk_instruct.inference.decoding import Sampling
from tk_instruct.model import build
from tk_instruct.model.config import DecoderConfig, T5Config
from tk_instruct.self_instruct.clients.local import LocalClient

SIZES: dict[str, Any] = {
    "vocab_size": 384,
    "d_model": 16,
    "num_heads": 2,
    "head_dim": 8,
    "d_ff": 24,
}
T5 = T5Config(**SIZES, num_encoder_layers=1, num_decoder_layers=1)
PREFIX = DecoderConfig(**SIZES, num_layers=1)
DRAWN = Parameters(12, temperature=0.8, top_p=0.9, presence_penalty=0.5)
LIKELIEST = Parameters(12, top_p=0.0, presence_penalty=1.5)
PROMPTS = ["9.", "a list\n9.", "Task: add two numbers, and then three", "no", "What is this?"]
REQUESTS = [Request("instructions", i, PROMPTS[i % len(PROMPTS)], DRAWN) for i in range(11)]


def save_run(model_dir: Path, config: T5Config | DecoderConfig) -> Path:
    """A checkpoint of random parameters that reads and writes bytes."""
    from flax.core import meta

    from tk_instruct.checkpoint import Checkpoints, Description
    from tk_instruct.step import init_params

    params = meta.unbox(jax.jit(partial(init_params, build(config)))(jax.random.key(0)))
    # Sharper attention, so that the inputs make a difference.
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf * (8 if {"query", "value"} & {key.key for key in path} else 1),
        params,
    )
    about = Description(
        model=asdict(config),
        vocabulary={"name": "bytes", "fingerprint": fingerprint(vocabulary("bytes"))},
        data={"lengths": {"inputs": 48, "targets": 16}},
        gin="",
    )
    with Checkpoints(model_dir) as checkpoints:
        checkpoints.save(3, {"params": params}, {}, about)
    return model_dir


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("t5") / "run", T5)


@pytest.fixture(scope="module")
def prefix_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("prefix") / "run", PREFIX)


@pytest.fixture(params=["run", "prefix_run"])
def each_run(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def client(run: Path) -> Iterator[LocalClient]:
    with closing(LocalClient(run, batch_size=4)) as client:
        yield client


@pytest.fixture(scope="module")
def expected(client: LocalClient) -> dict[Request, Completion]:
    return {request: client.complete(request, "") for request in REQUESTS}


def test_answers_do_not_depend_on_order_and_company(
    client: LocalClient, expected: dict[Request, Completion]
) -> None:
    assert len({completion.text for completion in expected.values()}) > 8
    assert {completion.model for completion in expected.values()} == {client.model}
    assert re.search("/run/checkpoints/3@[0-9a-f]{16}$", client.model)
    for seed in range(3):
        requests = random.Random(seed).sample(REQUESTS, len(REQUESTS))
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda request: client.complete(request, ""), requests))
        assert dict(zip(requests, found, strict=True)) == expected


def test_another_seed_draws_anew(run: Path, expected: dict[Request, Completion]) -> None:
    with closing(LocalClient(run, batch_size=4, seed=1)) as other:
        assert other.complete(REQUESTS[0], "").text != expected[REQUESTS[0]].text


def test_prompts_end_as_those_that_the_run_was_trained_on(
    run: Path, expected: dict[Request, Completion], monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_eos(about: Any) -> tuple[Any, bool]:
        return None, False

    monkeypatch.setattr(checkpoint, "encoding_of_run", without_eos)
    with closing(LocalClient(run, batch_size=4)) as other:
        for request, completion in expected.items():
            assert other.complete(request, "").prompt_tokens == completion.prompt_tokens - 1


def test_draws_what_predict_draws(each_run: Path) -> None:
    loaded = checkpoint.load_model(*checkpoint.load_checkpoint(each_run, None))
    request = replace(REQUESTS[3], parameters=replace(DRAWN, presence_penalty=0.0))
    key = randomness.draw(0, "self_instruct", request.key)
    tokens = np.array([[*vocabulary("bytes").encode(request.prompt), 1]])
    arrays = {"input_tokens": tokens, "segment_ids": np.ones_like(tokens)}
    (ids,) = jax.device_get(
        jax.jit(partial(generation.decode, Sampling(temperature=0.8, top_p=0.9), 12, loaded.model))(
            loaded.params, **arrays, key_data=generation.key_data([key], 1)
        )
    )
    with closing(LocalClient(each_run, batch_size=4)) as client:
        assert client.complete(request, "").text == vocabulary("bytes").decode(ids.tolist())


def test_penalised_answers_are_those_of_an_obvious_loop(each_run: Path) -> None:
    loaded = checkpoint.load_model(*checkpoint.load_checkpoint(each_run, None))

    @jax.jit
    def logits_of(tokens: Any, targets: Any) -> Any:
        arguments = (tokens, (tokens > 0).astype(jnp.int32), targets[None, None])
        variables: Any = {"params": loaded.params}
        logits: Any = loaded.model.apply(variables, *arguments, method="option_logits")
        return logits[0, 0]

    def by_loop(prompt: str, penalty: float) -> str:
        tokens, targets = np.zeros((1, 32), np.int32), np.zeros(12, np.int32)
        ids = [*vocabulary("bytes").encode(prompt), 1]
        tokens[0, : len(ids)] = ids
        for position in range(12):
            logits = np.array(logits_of(tokens, targets)[position])
            logits[np.unique(targets[:position])] -= penalty
            targets[position] = np.argmax(logits)
            if targets[position] == 1:
                break
        return vocabulary("bytes").decode(targets.tolist())

    prompts = [prompt for prompt in PROMPTS if len(prompt) < 30]
    expected = [by_loop(prompt, 1.5) for prompt in prompts]
    with closing(LocalClient(each_run, batch_size=4)) as client:
        requests = [Request("instances", 0, prompt, LIKELIEST) for prompt in prompts]
        assert [client.complete(request, "").text for request in requests] == expected
    assert expected != [by_loop(prompt, 0.0) for prompt in prompts]


def test_ends_where_it_stops_where_it_ends_and_where_max_tokens_runs_out(
    client: LocalClient,
) -> None:
    wild = Parameters(40, temperature=50.0)
    found = [client.complete(Request("instances", index, "a", wild), "") for index in range(24)]
    assert {completion.finish_reason for completion in found} == {"stop", "length"}
    for completion in found:
        assert completion.prompt_tokens == 2
        assert completion.completion_tokens is not None
        if completion.finish_reason == "length":
            assert completion.completion_tokens == 40
        else:
            assert 1 <= completion.completion_tokens <= 40
    assert len({completion.completion_tokens for completion in found}) > 2
    index = next(i for i, completion in enumerate(found) if len(completion.text) > 5)
    text = found[index].text
    stopped = replace(wild, stop=("never", text[3:5]))
    completion = client.complete(Request("instances", index, "a", stopped), "")
    assert (completion.text, completion.finish_reason) == (text[: text.find(text[3:5])], "stop")


def test_of_a_long_prompt_the_end_is_read(
    client: LocalClient, caplog: pytest.LogCaptureFixture
) -> None:
    end = "".join(chr(97 + i % 26) for i in range(47))  # and EOS
    completions = [
        client.complete(Request("classify", 0, prompt, LIKELIEST), "")
        for prompt in (end, "before " * 9 + end, "x" + end)
    ]
    assert len({completion.text for completion in completions}) == 1
    assert [completion.prompt_tokens for completion in completions] == [48] * 3
    (warning,) = [record.message for record in caplog.records]
    assert "a prompt has 111 tokens, more than the 48" in warning


def test_what_goes_wrong_reaches_all_who_wait(
    client: LocalClient, expected: dict[Request, Completion], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(parameters: Parameters) -> Any:
        raise MemoryError("no room")

    def outcome(request: Request) -> str:
        with pytest.raises(MemoryError, match="no room"):
            client.complete(request, "")
        return "failed"

    with monkeypatch.context() as patch, ThreadPoolExecutor(11) as pool:
        patch.setattr(client, "_decoded", broken)
        assert list(pool.map(outcome, REQUESTS)) == ["failed"] * 11
    assert client.complete(REQUESTS[0], "") == expected[REQUESTS[0]]


def test_answers_nothing_when_it_is_closed(run: Path) -> None:
    client = LocalClient(run)
    client.close()
    with pytest.raises(UserError, match="closed"):
        client.complete(REQUESTS[0], "")
    with pytest.raises(UserError, match="step=4 has no checkpoint"):
        LocalClient(run, step=4)
