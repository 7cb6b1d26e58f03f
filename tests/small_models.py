"""Small models of every family that a preset names, with random weights, laid out as the published checkpoints are.

Tokenizers are the real ones where they are at hand (`TOKENIZERS`); Mixtral's and SmolLM2's are trained here in the published
layout: Mixtral's chat format is plain text, it has no token for padding, and its digits are one token each, as SmolLM2's.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertTokenizer,
    CLIPImageProcessorPil,
    CLIPTokenizer,
    DetrConfig,
    DetrForObjectDetection,
    DetrImageProcessorPil,
    DFineConfig,
    DFineForObjectDetection,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    Florence2VisionConfig,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    GroundingDinoProcessor,
    HGNetV2Config,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    MMGroundingDinoConfig,
    MMGroundingDinoForObjectDetection,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessorPil,
    Owlv2Processor,
    PreTrainedTokenizerFast,
    ResNetConfig,
    RobertaTokenizer,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrImageProcessorPil,
    RTDetrResNetConfig,
    SwinConfig,
    YolosConfig,
    YolosForObjectDetection,
    YolosImageProcessorPil,
)  # fmt: skip
from transformers.convert_slow_tokenizer import TikTokenConverter

from wrapper.prompt import PromptTemplate

TOKENIZERS = Path(__file__).parents[2] / "shared" / "real-shapes" / "tokenizers"
"""The published models' own tokenizer files, which are not part of this project."""

LLAMA_CHAT = (
    "{{- bos_token }}{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\n\nToday Date: ' + date_string + '\n\n<|eot_id|>' }}"
    "{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
"""In the manner of Llama 3.2's: it names a date, today's where none is given."""
MIXTRAL_CHAT = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ ' [INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ANSWER = "cup<loc_100><loc_200><loc_300><loc_400>green book<loc_500><loc_200><loc_700><loc_500></s>"
"""Boxes in thousandths of the picture's sides."""
WORDS = [
    PromptTemplate().prompt, "0: cup, box [10.0, 20.5, 64.0, 99.9], score 0.87, from florence2 and gdrec", "green book / cup / left of the",
]  # fmt: skip


def needs_tokenizers() -> None:
    """Skip the test where the real tokenizers are not at hand."""
    if not TOKENIZERS.is_dir():
        pytest.skip("the published models' tokenizers are not at hand")


def florence(out: Path) -> str:
    """Florence-2 with its 1,000 places. It writes ANSWER whatever it sees, so that there are boxes."""
    dim = 32
    vision = Florence2VisionConfig(
        depths=(1, 1, 1, 1), embed_dim=(8, 16, 16, dim), num_heads=(1, 2, 2, 4), num_groups=(1, 2, 2, 4), projection_dim=dim
    )
    text = {
        "model_type": "bart", "vocab_size": 51290, "d_model": dim, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 1024,
    }  # fmt: skip
    model = Florence2ForConditionalGeneration(Florence2Config(vision_config=vision, text_config=text, image_token_id=51289))
    folder = TOKENIZERS / "florence2"
    added = json.loads((folder / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    merges = [tuple(m.split()) for m in (folder / "merges.txt").read_text().splitlines()[1:] if m]
    base = RobertaTokenizer(vocab=json.loads((folder / "vocab.json").read_text()), merges=merges)
    extra = [t["content"] for i, t in sorted(added.items(), key=lambda pair: int(pair[0])) if int(i) >= 50265]
    base.add_tokens([*extra, "<image>"], special_tokens=True)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=base.backend_tokenizer, model_max_length=1024, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        sep_token="</s>", cls_token="<s>", pad_token="<pad>", mask_token="<mask>", extra_special_tokens={"image_token": "<image>"},
    )  # fmt: skip
    _always_write(model.model.language_model.decoder, tokenizer(ANSWER, add_special_tokens=False)["input_ids"])
    model.to(torch.float16).save_pretrained(out)
    image = CLIPImageProcessorPil(size={"height": 160, "width": 160}, do_center_crop=False, resample=3)
    image.image_seq_length = 26
    parsers = ("pure_text", "description_with_bboxes", "description_with_bboxes_or_polygons", "phrase_grounding", "bboxes")
    Florence2Processor(image_processor=image, tokenizer=tokenizer, post_processor_config={p: {} for p in parsers}).save_pretrained(out)
    return str(out)


def _always_write(decoder: Any, tokens: list[int]) -> None:
    """Have a decoder write the same whatever it sees: its layers add nothing, and a position's embedding is the next token's."""
    with torch.no_grad():
        for layer in decoder.layers:
            for linear in (layer.self_attn.out_proj, layer.encoder_attn.out_proj, layer.fc2):
                linear.weight.zero_()
                linear.bias.zero_()
        words = torch.nn.functional.normalize(decoder.embed_tokens.weight, dim=-1)
        decoder.embed_tokens.weight.copy_(words)
        decoder.embed_positions.weight[2 : 2 + len(tokens)] = 50 * words[tokens]  # BART's positions begin at 2


def grounding_dino(out: Path, mm: bool = False) -> str:
    """Grounding DINO, or MM-Grounding-DINO (LLMDet's checkpoints are laid out as that)."""
    kinds: tuple[Any, Any] = (MMGroundingDinoConfig, MMGroundingDinoForObjectDetection) if mm else (
        GroundingDinoConfig, GroundingDinoForObjectDetection,
    )  # fmt: skip
    config, model = kinds
    model(
        config(
            backbone_config=SwinConfig(embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], out_indices=[2, 3, 4]),
            text_config=BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64),
            d_model=32,
            encoder_layers=1,
            decoder_layers=2,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            num_queries=40,
            auxiliary_loss=False,
        )
    ).save_pretrained(out)
    vocab = {t: i for i, t in enumerate((TOKENIZERS / "bert-base-uncased" / "vocab.txt").read_text().split("\n")) if t}
    image = GroundingDinoImageProcessorPil(size={"height": 128, "width": 128})
    GroundingDinoProcessor(image, BertTokenizer(vocab=vocab)).save_pretrained(out)
    return str(out)


def object_detector(out: Path, kind: str) -> str:
    """A closed-set detector of three classes: "detr", "rt-detr", "d-fine" or "yolos"."""
    names = {0: "cat", 1: "dog", 2: "wine_glass"}
    small: dict[str, Any] = {"id2label": names, "label2id": {v: k for k, v in names.items()}}
    stages: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "layer_type": "basic"}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "decoder_layers": 1}
    if kind == "yolos":
        size = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_detection_tokens": 12}
        YolosForObjectDetection(YolosConfig(image_size=[64, 64], patch_size=16, **size, **small)).save_pretrained(out)
        YolosImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(out)
        return str(out)
    if kind == "detr":
        backbone = ResNetConfig(**stages, out_features=["stage4"])
        config = DetrConfig(
            use_timm_backbone=False, backbone=None, backbone_config=backbone, use_pretrained_backbone=False, d_model=16, encoder_layers=1,
            num_queries=12, **heads, **small,
        )  # fmt: skip
        DetrForObjectDetection(config).save_pretrained(out)
        DetrImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(out)
        return str(out)
    common: dict[str, Any] = {
        "encoder_hidden_dim": 16, "encoder_in_channels": [8, 16, 16], "feat_strides": [8, 16, 32], "d_model": 16, "num_queries": 12,
        "decoder_in_channels": [16, 16, 16], "num_denoising": 0, **heads, **small,
    }  # fmt: skip
    if kind == "rt-detr":
        rt = RTDetrResNetConfig(**stages, out_features=["stage2", "stage3", "stage4"])
        RTDetrForObjectDetection(RTDetrConfig(backbone_config=rt, **common)).save_pretrained(out)
    else:
        hg = HGNetV2Config(
            stem_channels=[3, 8, 8], stage_in_channels=[8, 8, 8, 16], stage_mid_channels=[8, 8, 8, 8], stage_out_channels=[8, 8, 16, 16],
            stage_num_blocks=[1, 1, 1, 1], stage_downsample=[False, True, True, True], stage_light_block=[False] * 4,
            stage_kernel_size=[3, 3, 3, 3], stage_numb_of_layers=[1, 1, 1, 1], embedding_size=8, hidden_sizes=[8, 8, 16, 16],
            depths=[1, 1, 1, 1], out_features=["stage2", "stage3", "stage4"],
        )  # fmt: skip
        DFineForObjectDetection(DFineConfig(backbone_config=hg, **(common | {"decoder_layers": 2}))).save_pretrained(out)
    RTDetrImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(out)
    return str(out)


def owlv2(out: Path) -> str:
    """A zero-shot detector, which is asked about words."""
    out.mkdir(parents=True, exist_ok=True)
    size = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**size, "vocab_size": 300, "max_position_embeddings": 16, "bos_token_id": 298, "eos_token_id": 299, "pad_token_id": 0}
    vision = {**size, "image_size": 32, "patch_size": 8}
    Owlv2ForObjectDetection(Owlv2Config(text_config=text, vision_config=vision, projection_dim=32)).save_pretrained(out)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {c: i for i, c in enumerate(letters)} | {f"{c}</w>": len(letters) + i for i, c in enumerate(letters[:40])}
    (out / "vocab.json").write_text(json.dumps(vocab | {"<|startoftext|>": 298, "<|endoftext|>": 299}))
    (out / "merges.txt").write_text("#version: 0.2\n")
    words = CLIPTokenizer(str(out / "vocab.json"), str(out / "merges.txt"), pad_token="!", model_max_length=16)
    Owlv2Processor(Owlv2ImageProcessorPil(size={"height": 32, "width": 32}), words).save_pretrained(out)
    return str(out)


def llama(out: Path) -> str:
    """Llama 3 with grouped-query attention, its 128,256 tokens, one for every integer to 999, and none for padding."""
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>",
             "<|finetune_right_pad_id|>", "<|reserved_special_token_2|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>",
             "<|eot_id|>", "<|python_tag|>"]  # fmt: skip
    names += [f"<|reserved_special_token_{i}|>" for i in range(3, 256 - len(names) + 3)]
    fast = TikTokenConverter(str(TOKENIZERS / "llama3" / "tokenizer.model"), extra_special_tokens=names).converted()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=fast, bos_token=names[0], eos_token="<|eot_id|>", chat_template=LLAMA_CHAT, model_max_length=8192
    )
    return _causal(out, LlamaForCausalLM, LlamaConfig(**_shape(128256)), tokenizer)


def mixtral(out: Path) -> str:
    """Mixtral: experts in 3-D parameters, a chat format in plain text, no token for padding."""
    words = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    words.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Digits(individual_digits=True)])
    words.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    words.train_from_iterator([*WORDS, "[INST] [/INST] 0 1 2 3 4 5 6 7 8 9"], trainers.BpeTrainer(special_tokens=special, vocab_size=900))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=MIXTRAL_CHAT, model_max_length=8192
    )
    config = MixtralConfig(**_shape(len(tokenizer)), num_local_experts=4, num_experts_per_tok=2)
    return _causal(out, MixtralForCausalLM, config, tokenizer)


def smollm(out: Path) -> str:
    """In the manner of SmolLM2: a Llama with other defaults, ChatML, every digit a token of its own."""
    words = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(r" ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+"), "isolated")
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    words.decoder = decoders.ByteLevel()
    special: list[str | AddedToken] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words.train_from_iterator(WORDS, trainers.BpeTrainer(special_tokens=special, vocab_size=700, initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>", chat_template=CHATML,
        model_max_length=8192,
    )  # fmt: skip
    return _causal(out, LlamaForCausalLM, LlamaConfig(**_shape(len(tokenizer)), tie_word_embeddings=True), tokenizer)


def _shape(words: int) -> dict[str, Any]:
    return {
        "vocab_size": words, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 8192, "pad_token_id": None,
    }  # fmt: skip


def _causal(out: Path, kind: Any, config: Any, tokenizer: PreTrainedTokenizerFast) -> str:
    config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    kind(config).to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return str(out)
