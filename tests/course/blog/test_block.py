"""The blog's sentence on the block, read off the published shapes."""

from t2v_helpers.course.blog import block
from t2v_helpers.model import loading

PUBLISHED = loading.skeleton("modelscope")["unet"]


def test_the_operations_repeat_as_the_blog_says():
    assert block.repeats(PUBLISHED) == (2, 4, 2, 2)


def test_only_the_second_spatial_attention_reads_the_text():
    assert block.widths(PUBLISHED) == {"spatial": [(320, 320), (320, 1024)], "temporal": [(320, 320), (320, 320)]}
