"""Recorded models in the layout of Hugging Face's hub. The words of their texts are their ids: w0, w1, ..."""

import json
import pathlib
import shutil

import numpy as np
import tokenizers

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


def save_words(place, size, start, end):
    """Write the tokenizer of a CLIP: what ends a text also fills it up."""
    ids = {"<|endoftext|>" if i == end else f"w{i}": i for i in range(size)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token="w0"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"w{start} $A <|endoftext|>",
        special_tokens=[(f"w{start}", start), ("<|endoftext|>", end)],
    )
    made.save(str(place / "tokenizer.json"))


def texts_of(ids, start, end):
    """Return the texts that it turns into ids."""
    return [" ".join(f"w{i}" for i in row if i not in (start, end)) for row in ids]


def save_clip(place, name="clip_gelu"):
    """Write a recorded CLIP of both towers; return what was recorded, and its texts."""
    golden = np.load(GOLDEN / f"{name}.npz")
    about = json.loads(str(golden["_hyper_json"]))
    place.mkdir()
    shutil.copy(GOLDEN / f"{name}.safetensors", place / "model.safetensors")
    (place / "config.json").write_text(json.dumps(about["config"]))
    (place / "preprocessor_config.json").write_text(json.dumps(about["preprocessor"]))
    start, end = about["config"]["text_config"]["bos_token_id"], 98
    save_words(place, about["config"]["text_config"]["vocab_size"], start, end)
    return golden, texts_of(golden["in__input_ids"], start, end)
