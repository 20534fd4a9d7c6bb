"""The known ways in which llama.cpp differs from the reference: what each does, and where. Pure.

What a llama.cpp does can be told apart by name: the combination of deviations that gives its probabilities is what it
does. Each was read in llama.cpp's source, in the file that `where` names, except `padded`: that was found by trying
what gives the probabilities of Debian's llama.cpp 0.7.0, which it does to 0.002.
"""

from __future__ import annotations

from recipes.evalset.golden import Deviation

ATTENTION = Deviation(
    name="attention",
    words="image tokens attend to later tokens of the same image",
    where="tools/mtmd: mtmd_decode_use_non_causal, as for models whose images are not causal",
    fails=True,
)
RESIZE = Deviation(
    name="resize",
    words="images are resized bilinearly without a filter instead of bicubically with one",
    where="tools/mtmd/clip.cpp: resize_bilinear",
)
PADDED = Deviation(
    name="padded",
    words="images keep their aspect: they are resized to fit, and centred on black",
    where="tools/mtmd: how the image is fitted to the size that the tokens need",
)
JOINED = Deviation(
    name="joined",
    words="the parts of a message are joined by line ends that the chat template does not have",
    where="common/chat.cpp: the content of a message as one text (concat_text)",
)
INTERPOLATION = Deviation(
    name="interpolation",
    words="learned positions are interpolated between cell centres instead of corner to corner",
    where="tools/mtmd/clip.cpp: resize_position_embeddings",
)
HALF = Deviation(
    name="half",
    words="the vision tower's attention sums in 16 bits, and its GELU is a table of 16 bits",
    where="ggml-cpu/ops.cpp: flash attention with V in f16, worse the larger the image; vec.h: the table of GELU",
)
HALF_TEXT = Deviation(
    name="half-text",
    words="the language model's attention sums in 16 bits",
    where="ggml-cpu/ops.cpp: flash attention with V in f16, worse the longer the prompt",
)
GELU = Deviation(
    name="gelu",
    words="the mergers' GELU is the tanh approximation instead of the error function",
    where="tools/mtmd/models/qwen3vl.cpp: FFN_GELU",
)
BLOCKED = Deviation(
    name="blocked",
    words="M-RoPE is blocked, as in Qwen2-VL, instead of interleaved",
    where="ggml's rope of the backend: the mode for interleaved M-RoPE",
    fails=True,
)
THETA = Deviation(
    name="theta",
    words="the rotary embedding's base is 10000",
    where="rope.freq_base of the model, or what reads it",
    fails=True,
)
EXPERTS = Deviation(
    name="experts",
    words="the router's choices go to other experts",
    where="the order of ffn_*_exps against ffn_gate_inp, or mul_mat_id of the backend",
    fails=True,
)
NO_DEEPSTACK = Deviation(
    name="no-deepstack",
    words="the DeepStack features are missing",
    where="v.deepstack.* of the projector, or how they are added to the first layers",
    fails=True,
)
DEEPSTACK_ORDER = Deviation(
    name="deepstack-order",
    words="the DeepStack features go to each other's layers",
    where="v.deepstack.* of the projector, or how they are added to the first layers",
    fails=True,
)
MERGERS = Deviation(
    name="mergers",
    words="the DeepStack mergers have changed places",
    where="v.deepstack.* of the projector: their numbers against is_deepstack_layers",
    fails=True,
)
NORMALISATION = Deviation(
    name="normalisation",
    words="pixels are normalised with CLIP's mean and deviation",
    where="clip.vision.image_mean and image_std of the projector, or what reads them",
    fails=True,
)
CHANNELS = Deviation(
    name="channels",
    words="red and blue are swapped",
    where="what decodes the picture, or v.patch_embd of the projector",
    fails=True,
)
NEAREST = Deviation(
    name="nearest",
    words="learned positions are taken from the nearest cell instead of interpolated",
    where="tools/mtmd/clip.cpp: resize_position_embeddings",
    fails=True,
)
PAIRED = Deviation(
    name="paired",
    words="two images of one size in a row are taken for two frames of one image",
    where="tools/mtmd/mtmd.cpp: can_merge_with, which does not ask whether they are frames of a video",
    fails=True,
)
WRAPPED = Deviation(
    name="wrapped",
    words="one more pair of vision tokens surrounds a video, as in transformers since 5.10",
    where="what replaces the chat template's tokens of a video",
)
SWAPPED = Deviation(
    name="swapped",
    words="the two frames of each pair have changed places",
    where="v.patch_embd.weight and v.patch_embd.weight.1 of the projector, or the order of frames in a pair",
    fails=True,
)
OFF_BY_ONE = Deviation(
    name="off-by-one",
    words="the first frame of a video stands alone, and pairs are off by one",
    where="tools/mtmd/mtmd.cpp: mtmd_group_mergeable_bitmaps, or what stands between frames",
    fails=True,
)
APART = Deviation(
    name="apart",
    words="the frames of a video are not paired",
    where="tools/mtmd/mtmd.cpp: can_merge_with, or frames that are not marked",
    fails=True,
)
NO_STAMPS = Deviation(
    name="no-stamps",
    words="the time stamps of a video are missing",
    where="the text before each pair of frames",
    fails=True,
)
USUAL_RATE, DOUBLE_RATE, HALF_RATE = (
    Deviation(
        name=name,
        words=f"the time stamps of a video are those of {rate}",
        where="the rate that time stamps are computed with",
        fails=True,
    )
    for name, rate in (
        ("usual-rate", "24 frames a second, whatever its rate"),
        ("double-rate", "twice its rate"),
        ("half-rate", "half its rate"),
    )
)
STILL_SIZES = Deviation(
    name="still-sizes",
    words="each frame of a video is sized as a still image",
    where="tools/mtmd: the size of a frame, which is one for the whole video",
    fails=True,
)
SAME_TIME = Deviation(
    name="same-time",
    words="all pairs of a video have the time position of the first",
    where="tools/mtmd/mtmd.cpp: mtmd_image_tokens_get_decoder_pos",
    fails=True,
)
UPSTREAM_VIDEO = Deviation(
    name="upstream-video",
    words="a video begins with `Video:`, its first frame stands alone before `[0m0.00s]`, frames are sized as stills",
    where="tools/mtmd/mtmd-helper.cpp: mtmd_helper_video, whose prompt is of no model in particular",
    fails=True,
)
OF_CLIPS = (
    *(WRAPPED, SWAPPED, OFF_BY_ONE, APART, NO_STAMPS, USUAL_RATE, DOUBLE_RATE, HALF_RATE),
    *(STILL_SIZES, SAME_TIME, UPSTREAM_VIDEO, PAIRED),
)
# those that leave the pictures of a clip as they are
OF_TEXT_OF_CLIPS = (WRAPPED, NO_STAMPS, USUAL_RATE, DOUBLE_RATE, HALF_RATE, SAME_TIME)
WITH_CLIPS = (GELU, PADDED)  # the grades that a deviation of clips is also looked at together with
GRADES = (JOINED, RESIZE, PADDED, INTERPOLATION, HALF, HALF_TEXT, GELU)
OF_SIZE = (RESIZE, PADDED)  # one excludes the other in golden values; only images that are resized show them
OF_TEXT = (THETA, EXPERTS, HALF_TEXT)  # those that change the answers to text alone too
OF_PAIRS = (PAIRED,)  # only images of one size in a row show it
OF_IMAGES = (
    *(ATTENTION, BLOCKED, NO_DEEPSTACK, DEEPSTACK_ORDER, MERGERS, NORMALISATION, CHANNELS, NEAREST),
    *OF_PAIRS,
)
OF_LANGUAGE = (*OF_TEXT, ATTENTION, BLOCKED, JOINED)  # those that leave the vision tower as it is
FAULTS = tuple(deviation for deviation in (*OF_IMAGES, *OF_TEXT) if deviation.fails)
ALL = (*GRADES, *FAULTS)
USUAL = (JOINED, RESIZE, PADDED, INTERPOLATION)  # the grades that a fault is also looked at together with
