"""A model of Hugging Face Transformers as a system: encoder-decoder or decoder-only.

A decoder-only model continues the prompt, with a space between unless the prompt ends in white
space, or answers it as a user's message if its chat template is asked for.
"""

import argparse
import hashlib
import itertools
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tk_instruct import randomness
from tk_instruct.completions import before_stop
from tk_instruct.completions.reasoning import without_reasoning
from tk_instruct.errors import UserError
from tk_instruct.files import Path
from tk_instruct.inference.batches import by_length
from tk_instruct.inference.decoding import BeamSearch, Decoding, Sampling
from tk_instruct.inference.options import joined, ranked
from tk_instruct.journal import Example, Predict, Row, row_of

if TYPE_CHECKING:
    import torch

    from tk_instruct.data.tokenization import Tokenizer
    from tk_instruct.data.tokens import FeatureLengths

log = logging.getLogger("tk_instruct")

FLAGS = ("chat_template", "dtype", "device")
_DTYPES = ("auto", "float32", "bfloat16", "float16")
_HASHED = (".json", ".safetensors", ".bin", ".model", ".txt", ".jinja")
_LOGITS_AT_ONCE = 2**27  # of a batch of options: 512 MiB


def add_arguments(group: Any) -> None:
    """Declares the flags of these models."""
    group.add_argument(
        "--chat_template",
        action="store_true",
        help="send the prompt as a user's message, in the form that the model's tokenizer has",
    )
    group.add_argument(
        "--dtype", choices=_DTYPES, help="of the parameters (default: auto, as they are stored)"
    )
    group.add_argument(
        "--device", metavar="NAME", help="cpu, cuda or cuda:N (default: cuda where there is one)"
    )


class HuggingFaceSystem:
    """The model NAME_OR_PATH, or NAME_OR_PATH@REVISION of a hub, with its own tokenizer."""

    reads_text = True
    step = 0
    folder: Path | None = None
    mixture: str | None = None
    lengths: Mapping[str, int] | None = None

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        path = os.path.expanduser(name)
        is_local = os.path.isdir(path)
        name, _, revision = (path, "", "") if is_local else name.partition("@")
        if revision and os.path.isdir(os.path.expanduser(name)):
            raise UserError(
                f"--model=hf:{name}@{revision}: a folder has no revisions; leave @{revision} out"
            )
        try:
            import torch
            import transformers
        except ImportError as error:
            raise UserError(
                f"--model=hf:{name} needs the packages torch and transformers; pip install "
                "'tk_instruct[hf]'"
            ) from error
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        more: dict[str, Any] = {"revision": revision} if revision else {}
        try:
            config = transformers.AutoConfig.from_pretrained(name, **more)
            self._is_encoder_decoder = bool(config.is_encoder_decoder)
            kind = "Seq2SeqLM" if self._is_encoder_decoder else "CausalLM"
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(name, **more)
            self._model, loaded = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(
                name, dtype=args.dtype or "auto", output_loading_info=True, **more
            )
        except Exception as error:  # what broken files raise depends on where they are broken
            said = " ".join(str(error).split())
            raise UserError(
                f"--model=hf:{name} cannot be loaded ({said[:300]}); give the folder or the name "
                "of a model that generates text, and look at the network"
            ) from error
        if not self._tokenizer("a text", add_special_tokens=False)["input_ids"]:
            raise UserError(
                f"--model=hf:{name}: its tokenizer finds no token in 'a text'; its files are of "
                "another tokenizer, or incomplete"
            )
        if missing := sorted(loaded["missing_keys"]):
            raise UserError(
                f"--model=hf:{name} has no weights for {missing[0]} and {len(missing) - 1} more of "
                f"{type(self._model).__name__}, which would be random; give a model that was "
                "trained to generate text"
            )
        device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self._model = self._model.to(device).eval()
        except (RuntimeError, AssertionError) as error:
            raise UserError(f"--device={device} cannot be used ({error}); try cpu") from error
        self._chat, self._stop = args.chat_template, tuple(args.stop)
        if self._chat and not self._tokenizer.chat_template:
            raise UserError(f"--chat_template: the tokenizer of {name} has none; leave it out")
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token or self._tokenizer.unk_token
        # Models bring settings of decoding, such as penalties, which generate() would add to ours.
        own, kept = self._model.generation_config, ("bos", "decoder_start", "eos", "forced_bos")
        ids = {f"{name}_token_id": getattr(own, f"{name}_token_id", None) for name in kept}
        self._model.generation_config = transformers.GenerationConfig(
            pad_token_id=self._tokenizer.pad_token_id, **ids
        )
        text_config = config.get_text_config(decoder=not self._is_encoder_decoder)
        # Those with relative positions have no limit of their own.
        self._most_tokens = getattr(text_config, "max_position_embeddings", None) or 2**20
        self._has_cut = False
        # What stands before a text without any token.
        tokenizer = self._tokenizer
        starts = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, 0)
        self._start = next(id_ for id_ in starts if id_ is not None)
        self.identity: Mapping[str, Any] = {
            "hf": _content(path) if is_local else getattr(config, "_commit_hash", None) or name,
            "dtype": str(self._model.dtype),
            "chat_template": self._chat,
            "stop": self._stop,
        }

    def encoding(self) -> tuple["Tokenizer", bool]:
        from tk_instruct.data.tokenization import Plain
        from tk_instruct.data.vocabulary import vocabulary

        return Plain(vocabulary()), True

    def generator(
        self, decoding: Decoding, lengths: "FeatureLengths", args: argparse.Namespace
    ) -> Callable[[Path], Predict]:
        return lambda output: partial(self._generate, decoding, lengths, args.batch_size)

    def ranker(
        self, lengths: "FeatureLengths", args: argparse.Namespace
    ) -> Callable[[Path], Predict]:
        score = self._scores_of_decoder if self._is_encoder_decoder else self._scores_of_causal
        return lambda output: partial(
            self._rank, score, lengths, args.batch_size, args.length_normalized
        )

    def _generate(
        self,
        decoding: Decoding,
        lengths: "FeatureLengths",
        batch_size: int,
        examples: Sequence[Example],
    ) -> Iterator[list[Row]]:
        import torch

        beams: dict[str, Any] = {}
        if isinstance(decoding, BeamSearch):
            beams = {"num_beams": decoding.num_beams, "length_penalty": decoding.length_penalty}
        room = self._most_tokens - (0 if self._is_encoder_decoder else lengths.targets)
        for batch, ids in self._batches(examples, room, batch_size):
            inputs = self._padded(ids, on_left=not self._is_encoder_decoder)
            with torch.inference_mode():
                output = self._model.generate(
                    **inputs,
                    max_new_tokens=lengths.targets,
                    do_sample=False,
                    **beams,
                    logits_processor=self._drawing(decoding, batch),
                    **({"stop_strings": list(self._stop)} if self._stop else {}),
                    tokenizer=self._tokenizer,
                )
            if not self._is_encoder_decoder:
                output = output[:, inputs["input_ids"].shape[1] :]
            yield [
                row_of(example, self._answer(ids))
                for example, ids in zip(batch, output.tolist(), strict=True)
            ]

    def _answer(self, ids: list[int]) -> str:
        text = str(
            self._tokenizer.decode(
                ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )
        if self._chat:
            text = without_reasoning(text) or ""
        return before_stop(text.strip(), self._stop).strip()

    def _drawing(self, decoding: Decoding, batch: Sequence[Example]) -> Any:
        """What makes the most likely token a drawn one: Gumbel noise, of (seed, id) alone."""
        import transformers as hf

        processors = hf.LogitsProcessorList()
        if isinstance(decoding, Sampling):
            processors.append(hf.TemperatureLogitsWarper(float(decoding.temperature)))
            if decoding.top_k is not None:
                processors.append(hf.TopKLogitsWarper(decoding.top_k))
            if decoding.top_p is not None and decoding.top_p < 1:
                processors.append(hf.TopPLogitsWarper(decoding.top_p))
            keys = [randomness.draw(decoding.seed, "sample", e["id"]) for e in batch]
            generators = [np.random.Generator(np.random.Philox(key=key)) for key in keys]

            def perturbed(input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
                noise = np.stack([g.gumbel(size=scores.shape[1]) for g in generators])
                return scores + scores.new_tensor(noise)

            processors.append(perturbed)
        return processors

    def _rank(
        self,
        score: Callable[[Sequence[Example], Sequence[list[int]]], list[list[tuple[float, int]]]],
        lengths: "FeatureLengths",
        batch_size: int,
        length_normalized: bool,
        examples: Sequence[Example],
    ) -> Iterator[list[Row]]:
        import torch

        for batch, ids in self._batches(examples, self._most_tokens, batch_size):
            with torch.inference_mode():
                scored = score(batch, ids)
            yield [
                ranked(example, [s / (n if length_normalized else 1) for s, n in of])
                for example, of in zip(batch, scored, strict=True)
            ]

    def _scores_of_decoder(
        self, batch: Sequence[Example], ids: Sequence[list[int]]
    ) -> list[list[tuple[float, int]]]:
        """The log-probability of each option with its end, and its number of tokens."""
        inputs = self._padded(ids, on_left=False)
        encoded = self._model.get_encoder()(**inputs)
        found: list[list[tuple[float, int]]] = [[] for _ in batch]
        for number in range(max(len(example["options"]) for example in batch)):
            # An example with fewer options scores its last one again, which is left out.
            options = [e["options"][min(number, len(e["options"]) - 1)] for e in batch]
            labels = [self._tokenizer(text_target=option)["input_ids"] for option in options]
            padded = self._padded(labels, on_left=False)["input_ids"]
            targets = padded.clone()
            for row, of in zip(targets, labels, strict=True):
                row[len(of) :] = -100
            logits = self._model(
                encoder_outputs=encoded, attention_mask=inputs["attention_mask"], labels=targets
            ).logits
            for row, (example, of) in enumerate(zip(batch, labels, strict=True)):
                if number < len(example["options"]):
                    found[row].append((_log_probability(logits[row, : len(of)], of), len(of)))
        return found

    def _scores_of_causal(
        self, batch: Sequence[Example], ids: Sequence[list[int]]
    ) -> list[list[tuple[float, int]]]:
        """The log-probability of each option after its prompt, and its number of tokens."""
        rows: list[tuple[list[int], int]] = []
        for example in batch:
            for option in example["options"]:
                text = self._text(example["prompt"])
                whole = self._ids(text + option if self._chat else joined(text, option))
                count = max(1, len(whole) - len(self._ids(text)))
                if count >= len(whole):
                    whole = [self._start, *whole]
                rows.append((whole[-self._most_tokens :], count))
        scores: list[tuple[float, int]] = []
        size = max(1, _LOGITS_AT_ONCE // (self._model.config.get_text_config().vocab_size * 64))
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            inputs = self._padded([whole for whole, _ in part], on_left=True)
            positions = inputs["attention_mask"].cumsum(1).sub(1).clamp(min=0)
            kept = 1 + max(count for _, count in part)
            logits = self._model(**inputs, position_ids=positions).logits[:, -kept:]
            for row, (whole, count) in zip(logits, part, strict=True):
                of = whole[-count:]
                scores.append((_log_probability(row[-count - 1 : -1], of), count))
        taken = iter(scores)
        return [list(itertools.islice(taken, len(example["options"]))) for example in batch]

    def _batches(
        self, examples: Sequence[Example], room: int, batch_size: int
    ) -> Iterator[tuple[list[Example], list[list[int]]]]:
        """Examples of about the same length, the longest first, with the ids of their prompts."""
        if room < 1:
            raise UserError(
                f"the model reads {self._most_tokens:,} tokens, and targets may have all of them; "
                "give --max_target_tokens N"
            )
        texts = {e["id"]: self._text(e["prompt"]) for e in examples}
        of = {id_: self._ids(text) or [self._start] for id_, text in texts.items()}
        for id_, ids in of.items():
            if len(ids) > room:
                self._tell_cut(len(ids), room)
                if self._is_encoder_decoder:
                    of[id_] = [*ids[: room - 1], ids[-1]]  # its end mark stays
                else:
                    of[id_] = ids[-room:]  # what is asked stands at the end
        sizes = [len(of[example["id"]]) for example in examples]
        for batch, _ in by_length(examples, sizes, batch_size, max(sizes, default=1)):
            yield batch, [of[example["id"]] for example in batch]

    def _tell_cut(self, found: int, room: int) -> None:
        if not self._has_cut:
            self._has_cut = True
            kept = "beginning" if self._is_encoder_decoder else "end"
            log.warning(
                f"a prompt has {found:,} tokens of this model, and it reads {room:,}: of this and "
                f"other long ones only the {kept} is kept"
            )

    def _text(self, prompt: str) -> str:
        if not self._chat:
            return prompt
        message = [{"role": "user", "content": prompt}]
        return str(
            self._tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        )

    def _ids(self, text: str) -> list[int]:
        # A chat template has set the special tokens already.
        return list(self._tokenizer(text, add_special_tokens=not self._chat)["input_ids"])

    def _padded(self, rows: Sequence[list[int]], on_left: bool) -> dict[str, "torch.Tensor"]:
        import torch

        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), self._tokenizer.pad_token_id or 0, np.int64)
        mask = np.zeros_like(ids)
        for i, row in enumerate(rows):
            at = slice(longest - len(row), None) if on_left else slice(len(row))
            ids[i, at], mask[i, at] = row, 1
        device = self._model.device
        return {
            "input_ids": torch.from_numpy(ids).to(device),
            "attention_mask": torch.from_numpy(mask).to(device),
        }


def _log_probability(logits: "torch.Tensor", ids: Sequence[int]) -> float:
    """The summed log-probability of ids, each given by its row of logits [ids, vocabulary]."""
    import torch

    log_probabilities = torch.log_softmax(logits.float(), dim=-1)
    chosen = torch.tensor(ids, device=logits.device)[:, None]
    return float(log_probabilities.gather(1, chosen).sum())


def _content(folder: str) -> str:
    """The SHA-256 of a folder's weights, configuration and tokenizer."""
    digest = hashlib.sha256()
    for name in sorted(os.listdir(folder)):
        if name.endswith(_HASHED):
            digest.update(name.encode())
            with open(os.path.join(folder, name), "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
