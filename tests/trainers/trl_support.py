"""A model of 100,000 parameters, a tokenizer made on the spot, and a run to learn from. Nothing is downloaded."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, load_dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl.chat_template_utils import qwen3_instruct_2507_chat_template

import rollouts
from rollouts import Run, RunConfig
from rollouts.api import fork
from rollouts.plan import derive_seed

TASK = "moving-average"
#: The bundled task's fault and its mend.
OLD, NEW = "range(window, len(values) - 1)", "range(window, len(values))"
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    """A scripted reply with one call."""
    return {"tool": tool, "arguments": arguments}


MEND = call("edit_file", path="series.py", old=OLD, new=NEW)
SPOIL = call("edit_file", path="series.py", old=OLD, new="range(0)")
SUBMIT = call("submit")
#: The replies as the template writes them.
REPLIES = [
    f'<tool_call>\n{{"name": "{c["tool"]}", "arguments": {json.dumps(c["arguments"])}}}\n</tool_call>'
    for c in (MEND, SUBMIT)
]
SCRIPTS = [[MEND, SUBMIT], [SUBMIT], [call("read_file", path="series.py"), MEND, SUBMIT], [SPOIL, SUBMIT]]


def scripted_run(out: Path) -> Run:
    """Four branches of a bundled task in real sandboxes, two of them solve it; then a fork of a solved one."""
    config = RunConfig.model_validate(
        {
            "tasks": "suite",
            "task_ids": [TASK],
            "branches": len(SCRIPTS),
            "seed": next(seed for seed in count() if _scripts(seed) == [0, 1, 2, 3]),
            "policy": {"name": "scripted", "options": {"branches": SCRIPTS}},
            "engine": {"kind": "inline"},
        }
    )
    run = rollouts.run(config, out)
    fork(run, f"{TASK}/b000", 1, n=1)
    return run


def _scripts(seed: int) -> list[int]:
    """Which script each branch takes under a seed."""
    return [derive_seed(seed, TASK, index) % len(SCRIPTS) for index in range(len(SCRIPTS))]


def exported(run: Run, to: str, out: Path, **options: Any) -> Dataset:
    """An export as a trainer's user reads it."""
    from rollouts.exports import export
    from rollouts.store import RunStore

    with RunStore.open(run.path) as store:
        export(store, to, out, fmt=("jsonl",), **options)
    return load_dataset(
        "json", data_files=str(out / f"{to}.jsonl"), split="train", cache_dir=str(out / "cache")
    )


def make_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE learnt from `texts`, with a chat template that TRL knows."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=900, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", padding_side="left"
    )
    made.add_tokens(list(REPLIES))  # a reply is one token, so that a small model can learn to say it
    made.chat_template = qwen3_instruct_2507_chat_template
    return made


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Random weights from a seed."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config)


def teach(model: Any, tokenizer: PreTrainedTokenizerFast, prompt: list[int], steps: int = 40) -> None:
    """Bring the model to say one of `REPLIES`, each about as often: after `prompt`, and after anything else.

    Online training needs a model that sometimes calls a tool: a random one never would.
    """
    start = tokenizer("<|im_start|>assistant\n")["input_ids"]
    said = [tokenizer(reply)["input_ids"] + [tokenizer.eos_token_id] for reply in REPLIES]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    torch.manual_seed(0)
    for step in range(steps):
        before = torch.randint(3, len(tokenizer), (len(said), 40))
        if step % 4 == 3:
            before = torch.tensor([prompt[: -len(start)]] * len(said))
        ids = torch.cat([before, torch.tensor([start + each for each in said])], dim=1)
        labels = ids.clone()
        labels[:, : -len(said[0])] = -100
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def weights(model: Any) -> dict[str, torch.Tensor]:
    """A copy to compare with."""
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def changed(model: Any, before: dict[str, torch.Tensor]) -> bool:
    """Whether any weight is another now."""
    return any(not torch.equal(value, before[name]) for name, value in model.named_parameters())


def corpus(run: Run) -> list[str]:
    """What the tokenizer is learnt from: the run's own words."""
    return [
        json.dumps(part)
        for branch in run.branches()
        for part in ([m.openai() for m in branch.trajectory.messages], branch.trajectory.tools)
    ]
