"""Keyword arguments of timm's models that are taken: those that shape a network, and none that could name a file.

They also come from files that others made, the headers of checkpoints. timm.create_model has some that open a path or a
URL, and older versions load what lies there by pickle, which can run any code: `checkpoint_path`, `pretrained_cfg`,
`pretrained_cfg_overlay`, `cache_dir`. So this is a list of what is allowed, as timm 1.0.31 names it; what sets classes,
channels, device or the network's outputs is this program's own.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from unlearning.errors import did_you_mean

DEPTHS = {  # blocks one after the other: each is built, and takes a hundredth of a second
    "block_config", "depth", "depth_list", "depth_token_only", "depths", "layers", "levels", "num_blocks",
    "num_blocks_list", "num_rnn_layers", "parallel_depth", "serial_depths", "stages", "transformer_depths",
}  # fmt: skip
SHAPES = DEPTHS | {
    # sizes
    "base_dim", "base_dims", "base_width", "bn_size", "bottle_ratio", "bottleneck_width_ratio", "cardinality", "ch_div",
    "channel_multiplier", "channels", "conv_ratio", "deepen_factor", "depth_mult", "dim", "dim_mul", "dims",
    "embed_dim", "embed_dims", "expand_ratio", "expansion_ratio", "ffn_ratio", "final_chs", "growth_rate",
    "growth_rates", "groups", "head_dim", "head_hidden_size", "head_mul", "head_widths", "heads", "hidden_sizes",
    "init_channels", "initial_chs", "inner_dim", "inplanes", "key_dim", "mlp_ratio", "mlp_ratio_token_only",
    "mlp_ratios", "neck_chans", "num_features",
    "num_heads", "num_heads_inner", "num_heads_outer", "num_init_features", "num_kv_heads", "num_reg_tokens",
    "partial_dim", "qk_dim", "reg_tokens", "scale", "state_dim", "stem_chs", "stem_hidden_dim", "stem_size",
    "stem_width", "widen_factor", "width", "width_factor", "width_list", "width_mult", "widths",
    # places and windows
    "crop_scale", "down_kernel_size", "down_patch_size", "down_stride", "dynamic_img_pad",
    "dynamic_img_size", "first_stride", "focal_levels", "focal_windows", "img_scale", "img_size", "kernel_size",
    "kernel_sizes", "kernels", "local_conv_size", "mask_unit_size", "output_stride", "patch_kernel", "patch_padding",
    "patch_size", "patch_sizes", "patch_stride", "pool_size", "q_pool", "q_stride", "sr_ratios", "stem_kernel_size",
    "stem_stride", "strict_img_size", "stride", "strides", "window_ratio", "window_size", "window_sizes", "wss",
    # kinds of parts, by name
    "act_layer", "aa_layer", "attn_types", "global_pool", "norm_layer", "pad_type", "pool_type", "rel_pos_type",
    "stem_type", "token_mixers", "weight_init",
    # regularisation and starting values
    "attn_drop_rate", "drop_block_rate", "drop_path_rate", "drop_rate", "head_init_scale", "init_values",
    "layer_scale_init_value", "layer_scale_init_values", "ls_init_value", "norm_eps", "patch_drop_rate",
    "pos_drop_rate", "proj_drop_rate", "zero_init_last",
    # switches
    "aa_stem_only", "always_partition", "avg_down", "basic", "bidirectional", "block_reduce_first", "class_token",
    "conv_bias", "conv_mlp", "final_norm", "fix_stem", "head_bias", "head_norm", "head_norm_first", "legacy",
    "mlp_bias", "no_embed_class", "patch_norm", "pos_embed", "pre_norm", "preact", "qk_norm", "qkv_bias", "qkv_fused",
    "replace_stem_pool", "scale_mlp", "se_ratio", "shortcut_root", "stem_bias", "swiglu_mlp", "use_abs_pos_emb",
    "use_fc_norm", "use_grn", "use_layer_scale", "use_pos_embed", "use_post_norm", "use_rel_pos_bias",
    "use_rot_pos_emb", "use_shared_rel_pos_bias",
}  # fmt: skip
OWN = {  # what says the same in params.yaml
    "num_classes": "the data says how many",
    "in_chans": "the data says how many",
    "pretrained": "write model.pretrained",
    "checkpoint_path": "write model.pretrained: <file>, or original.checkpoint",
}
MOST_BLOCKS = 500  # of a network; ResNet-1001 has 333
LARGEST = 65_536  # of a whole number: channels, pixels, heads
LONGEST = 64  # items of a list, letters of a word
MODEL = re.compile(r"\w+(\.\w+)?", re.ASCII)  # no hub, no folder: timm takes hf-hub:... and local-dir:... as names


def faults_of(kwargs: Mapping[str, Any]) -> Iterator[str]:
    """Yield "model.kwargs.<name>: what is wrong" for each argument that is not taken."""
    for name, value in kwargs.items():
        key = f"model.kwargs.{name[:LONGEST]}"
        if name not in SHAPES:
            own = OWN.get(name) or f"only what shapes a network is taken{did_you_mean(name, sorted(SHAPES))}"
            yield f"{key}: it cannot be set here; {own}"
            continue
        items = value if isinstance(value, list) else [value]
        if len(items) > LONGEST:
            yield f"{key}: {len(items)} items; a network has {LONGEST} stages at most"
        blocks = sum(item for item in items if _is_whole(item)) if name in DEPTHS else 0
        if blocks > MOST_BLOCKS:
            yield f"{key}: {min(blocks, 10**15):,} blocks; {MOST_BLOCKS} are more than any network has"
            continue
        yield from {f"{key}: {problem}" for item in items if (problem := _problem(item))}


def _problem(value: Any) -> str | None:
    """Return what is wrong with one value, if anything."""
    if isinstance(value, str):
        named = re.fullmatch(rf"\w{{0,{LONGEST}}}", value, re.ASCII)
        return None if named else f"{value[:30]!r} is no name of a part of a network: letters, digits and _ alone"
    if isinstance(value, bool | None):
        return None
    if not isinstance(value, int | float):
        return f"a number, a word or true or false was expected, not a {type(value).__name__}"
    if not abs(value) <= LARGEST:  # not finite either
        return f"-{LARGEST:,} to {LARGEST:,} was expected; no network is larger"
    return None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
