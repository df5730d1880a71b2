"""Replies of a TRL trainer's own model, with the log-probabilities they were sampled at.

Only imported when it is used: it needs torch.
"""

from __future__ import annotations

from typing import Any

import torch
from trl.models import unwrap_model_for_generation


def generate(
    trainer: Any, prompts: list[list[int]], max_new_tokens: int
) -> tuple[list[list[int]], list[list[float]]]:
    """One reply for each prompt (token ids), up to its end-of-sequence token, and the log-probability of each token.

    As the trainer itself samples: its generation settings and its unwrapped model. Not for FSDP.
    """
    device, pad = trainer.accelerator.device, trainer.processing_class.pad_token_id
    width = max(map(len, prompts))
    input_ids = torch.tensor([[pad] * (width - len(ids)) + ids for ids in prompts], device=device)
    attention = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=device)
    kept = _LogProbs(float(trainer.temperature))
    with (
        unwrap_model_for_generation(
            trainer.model_wrapped,
            trainer.accelerator,
            gather_deepspeed3_params=trainer.args.ds3_gather_for_generation,
            generation_kwargs=trainer.generation_kwargs,
            gradient_checkpointing_kwargs=trainer.args.gradient_checkpointing_kwargs,
        ) as model,
        torch.no_grad(),
    ):
        whole = model.generate(
            input_ids=input_ids,
            attention_mask=attention,
            generation_config=trainer.generation_config,
            max_new_tokens=max_new_tokens,
            logits_processor=[kept],
        )
    logprobs = kept.columns(whole)
    ends = set(trainer.eos_token_ids)
    replies = [_up_to_end(ids, ends) for ids in whole[:, width:].tolist()]
    return replies, [row[: len(ids)] for row, ids in zip(logprobs.tolist(), replies, strict=True)]


class _LogProbs:
    """A logits processor that changes nothing and keeps of each step the log-probability of the token that was then sampled.

    One step's distribution at a time is held, not all of them.
    """

    def __init__(self, temperature: float) -> None:
        self._temperature = temperature
        self._before: torch.Tensor | None = None
        self._columns: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self._keep(input_ids)
        self._before = torch.log_softmax(scores.float() / self._temperature, dim=-1)
        return scores

    def columns(self, whole: torch.Tensor) -> torch.Tensor:
        """(prompts, new tokens), once generation has ended."""
        self._keep(whole)
        return torch.stack(self._columns, dim=1)

    def _keep(self, input_ids: torch.Tensor) -> None:
        if self._before is not None:
            self._columns.append(self._before.gather(1, input_ids[:, -1:]).squeeze(1))


def _up_to_end(ids: list[int], ends: set[int]) -> list[int]:
    end = next((place + 1 for place, token in enumerate(ids) if token in ends), len(ids))
    return ids[:end]
