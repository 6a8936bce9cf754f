"""Foundation models of a few thousand random weights, saved as their packages save them; equal seeds, equal bits."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
SMALL = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}


def make_bolt() -> Any:
    """A Chronos-Bolt: patches of 8, a context of 64, its own horizon 8."""
    from chronos.chronos_bolt import ChronosBoltModelForForecasting
    from transformers import T5Config

    own = {
        "context_length": 64,
        "prediction_length": 8,
        "input_patch_size": 8,
        "input_patch_stride": 8,
        "quantiles": LEVELS,
        "use_reg_token": True,
    }
    config = T5Config(
        **SMALL,
        vocab_size=2,
        num_decoder_layers=1,
        decoder_start_token_id=0,
        pad_token_id=0,
        feed_forward_proj="relu",
        chronos_config=own,
        chronos_pipeline_class="ChronosBoltPipeline",
        architectures=["ChronosBoltModelForForecasting"],
    )
    return ChronosBoltModelForForecasting(config)


def make_second() -> Any:
    """A Chronos-2: patches of 8, a context of 64."""
    from chronos.chronos2 import Chronos2Model
    from chronos.chronos2.config import Chronos2CoreConfig

    own = {
        "context_length": 64,
        "output_patch_size": 8,
        "input_patch_size": 8,
        "input_patch_stride": 8,
        "quantiles": [0.05, *LEVELS, 0.95],
        "use_reg_token": True,
        "use_arcsinh": True,
        "max_output_patches": 4,
        "time_encoding_scale": 64,
    }
    config = Chronos2CoreConfig(
        **SMALL, chronos_config=own, chronos_pipeline_class="Chronos2Pipeline", architectures=["Chronos2Model"]
    )
    return Chronos2Model(config)


def make_t5() -> Any:
    """A Chronos-T5: 64 tokens, its own horizon 8."""
    from transformers import T5Config, T5ForConditionalGeneration

    own = {
        "tokenizer_class": "MeanScaleUniformBins",
        "tokenizer_kwargs": {"low_limit": -15.0, "high_limit": 15.0},
        "context_length": 64,
        "prediction_length": 8,
        "n_tokens": 64,
        "n_special_tokens": 2,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "use_eos_token": True,
        "model_type": "seq2seq",
        "num_samples": 20,
        "temperature": 1.0,
        "top_k": 50,
        "top_p": 1.0,
    }
    config = T5Config(
        **SMALL,
        vocab_size=64,
        num_decoder_layers=1,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
        chronos_config=own,
        architectures=["T5ForConditionalGeneration"],
    )
    return T5ForConditionalGeneration(config)


def make_timesfm() -> Any:
    """A TimesFM 3.0: patches of 8 in and 16 out."""
    from timesfm3.torch import configs
    from timesfm3.torch.model import TimesFM3Torch

    transformer = configs.TransformerConfig(
        model_dims=16,
        hidden_dims=16,
        num_heads=2,
        attention_norm="rms",
        feedforward_norm="rms",
        qk_norm="rms",
        use_rope_seq=True,
        use_rope_var=True,
        use_bias=False,
        ff_activation="relu",
        deterministic=True,
    )
    block = configs.ResidualBlockConfig(hidden_dims=16, output_dims=16, use_bias=False, activation="relu")
    model = TimesFM3Torch(
        input_patch_len=8,
        output_patch_len=16,
        quantiles=LEVELS,
        residual_block_config=block,
        transformer_config=configs.StackedTransformersConfig(num_layers=1, transformer=transformer),
    )
    model.pre_transformer_resblock.set_input_dims(2 * (8 + 16))
    return model


MAKERS: dict[str, Callable[[], Any]] = {
    "chronos": make_bolt,
    "chronos2": make_second,
    "chronos_t5": make_t5,
    "timesfm": make_timesfm,
}


@cache
def tiny_weights(name: str) -> str:
    """The folder of a tiny model's weights, made once a process and deleted with it."""
    import torch

    root = tempfile.mkdtemp(prefix="tiny-weights-")
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        MAKERS[name]().eval().save_pretrained(str(Path(root) / name))
    return str(Path(root) / name)
