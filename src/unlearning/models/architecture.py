"""What is needed to build a network again, and what of it may reach timm; nothing here imports timm.

timm's constructors pass on what they do not know: some arguments name a file (a pickle, which runs code), a folder, a
URL or a hub. A header comes from elsewhere, so the arguments that shape a network are listed, and no others passed on.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import Field, field_validator

from unlearning.read_back import Written

NAME = re.compile(r"[A-Za-z0-9_]{1,100}(\.[A-Za-z0-9_]{1,100})?")  # an architecture, and which of its weights
WORD = re.compile(r"[A-Za-z0-9_]{0,40}")  # a value in words, such as of `act_layer`: no path, no URL
LONGEST = 1000  # values of one argument
# Arguments of the constructors of timm 1.0 that shape the network. Left out are those that build it from files or
# other objects, and those that turn a classifier into something else.
SHAPING = frozenset(
    """
aa_layer aa_stem_only abs_win_pos_embed act_layer always_partition attn attn_act_layer attn_block
attn_block_token_only attn_drop_rate attn_groups attn_head_dim_reduction attn_layer attn_mlp attn_mlp_ratio
attn_only_layer_scale attn_pool_mlp_ratio attn_pool_num_heads attn_ratio attn_stage attn_type attn_types
attn_upsample aux_logits avg_down b base_dim base_dims base_width basic bias bidirectional block_cfg
block_config block_layer block_layers block_layers_token block_reduce_first block_type bn_size bottle_ratio
bottleneck_width_ratio cardinality ch_div channel_attention channel_attn_v2 channel_multiplier channels
class_token cls_attn_layers cls_ratio conv_bias conv_block conv_init conv_layer conv_mlp conv_ratio cpe_act
crop_scale crpe_window d2_scales deepen_factor depth depth_list depth_mult depth_token_only depths dim dim_mul
dims distillation distilled down_kernel_size down_op down_ops down_pad down_patch_size down_stride downsample
downsample_block downsample_expand_ratios downsample_kernel_size downsample_norm downsample_padding
downsample_ratio downsamples drop drop_block_rate drop_block_size drop_path_rate drop_rate dropout dw_act_layer
dynamic_img_pad dynamic_img_size embed_dim embed_dims embed_layer embed_norm embed_norm_layer encoder_pool eta
expand_groups expand_ratio expansion_ratio extra_norm_period extra_norm_stage fc_act_layer fc_norm feature_dim
feature_location ffn ffn_ratio final_chs final_norm first_stride fix_init fix_stem focal_levels focal_windows
fused_conv fused_downsample global_att_blocks global_attn_indexes global_block_counts global_pool
global_pos_size group groups growth_rate growth_rates head head_bias head_dim head_hidden_size head_init_scale
head_mul head_norm head_norm_first head_widths heads hidden_size hidden_sizes img_scale img_size inc_sec
init_channels init_values initial_chs inner_dim inplanes input_3x3 intermediate_size is_downsample_block k_r
k_sec kernel_size kernel_sizes kernels key_dim layer_scale layer_scale_init_value layer_scale_init_values layers
layerscale_value levels linear lkc_use_act local_conv_size local_mbconv_norm locality_strength ls_init_value
mask_unit_attn mask_unit_size mbconv_expand_ratio memory_efficient merge_size mix_block_ratio mlp_act mlp_bias
mlp_block mlp_block_token_only mlp_layer mlp_ratio mlp_ratio_token_only mlp_ratios msfa_indices
msfa_output_resolution multi_conv n_div neck_chans nlhb no_embed_class norm_eps norm_layer norm_layer_cl
norm_layers normalize_modulator num_blocks num_blocks_list num_features num_heads num_heads_inner
num_heads_outer num_init_features num_kv_heads num_levels num_reg_tokens num_rnn_layers num_vit
outlook_attention output_norm output_stride pad_type parallel_depth partial_dim patch_drop_rate patch_kernel
patch_layer patch_norm patch_padding patch_size patch_sizes patch_stride pconv_fw_type pool_include_prefix
pool_size pool_type pooling_kernel_size pooling_scale pos_drop_rate pos_embed pos_embed_grid_size pos_embs
position_embedding_size post_layers pre_norm preact pretrained_window_sizes proj_bias proj_drop_rate q_pool
q_stride qk_dim qk_norm qkv_bias qkv_fused reduction ref_feat_shape reg_tokens rel_pos_dim rel_pos_type reparam
replace_stem_pool repmixer_kernel_size res_scale_init_values rnn_layer rope_grid_indexing rope_grid_offset
rope_jitter_coords rope_mrope_section rope_rescale_coords rope_rotate_half rope_shift_coords rope_temperature
rope_theta rope_type scale scale_attn_inner scale_attn_norm scale_mlp scale_mlp_norm se_downsamples se_from_exp
se_layer se_ratio sep_pos_embed sequential_attn serial_depths shared_rel_pos shortcut_root small small_kernels
spatial_conv sr_ratios ssd_expand stages standardize state_dim stem_bias stem_chs stem_expand_ratio
stem_hidden_dim stem_kernel_size stem_mid_norm stem_norm stem_size stem_stride stem_type stem_use_scale_branch
stem_width strict_img_size stride strides swiglu_align_to swiglu_mlp token_mixers tokens_norm transformer_depths
transformer_drop_path transition_compression_ratio types union use_abs_pos use_abs_pos_emb use_aux_head
use_checkpoint use_clipped_linears use_conv use_expand_proj use_fc_norm use_grn use_lab use_layer_scale
use_mix_token use_mlp_head use_msfa use_overlap_down use_pos_emb use_pos_embed use_post_norm
use_post_norm_in_modulation use_post_transformer_norm use_pre_transformer_norm use_rel_pos use_rel_pos_bias
use_rope use_rot_pos_emb use_shared_rel_pos_bias v2 vit_stem weight_init widen_factor width width_factor
width_list width_mult widths window_ratio window_size window_sizes window_spec with_fc wss zero_init_last
""".split()  # noqa: SIM905 - three hundred lines otherwise
)


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build the network again; written into every checkpoint."""

    name: str  # timm's
    kwargs: dict[str, Any]  # of timm.create_model
    small_stem: int | None  # stride of the 3x3 stem
    classes: int
    channels: int
    image_size: int


class WrittenArchitecture(Written):
    """An architecture as a header holds it."""

    name: str
    kwargs: dict[str, Any]
    small_stem: int | None = Field(ge=1, le=2)
    classes: int = Field(ge=1, le=1 << 20)
    channels: int = Field(ge=1, le=1 << 10)
    image_size: int = Field(ge=1, le=1 << 20)

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("the name of an architecture of timm was expected")
        return name

    @field_validator("kwargs")
    @classmethod
    def _shape_the_network(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        wrong = not_shaping(kwargs)
        if wrong:
            raise ValueError(wrong)
        return kwargs


def not_shaping(kwargs: dict[str, Any]) -> str | None:
    """Return what among the arguments must not reach timm; None where all of them only shape the network."""
    for key, value in kwargs.items():
        if key not in SHAPING:
            near = get_close_matches(key, SHAPING, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            return f"{key!a} is no argument that shapes a network{hint}; files, folders and hubs are not named here"
        values = value if isinstance(value, list) else [value]
        if len(values) > LONGEST or not all(_is_plain(one) for one in values):
            return f"{key}: numbers, true or false, or words without dots and slashes were expected"
    return None


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return WORD.fullmatch(value) is not None
    if isinstance(value, list):
        return len(value) <= LONGEST and all(isinstance(one, int | float) for one in value)
    return value is None or isinstance(value, bool | int | float)
