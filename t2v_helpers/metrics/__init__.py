"""How good is a video?

Measures of a video: what the judge reads in it, whether its subject is whole, what OpenCV sees in it, how well it fits
its sentence, how far a set of videos is from drawings, and how certain a number is.

Videos are uint8: [f h w c] for one, [b f h w c] for several. In the cartoon world the labels of every sentence are
known, so "does the video show what was asked?" can be counted. The judge's own accuracy on fresh renders is given with
every count. OpenCV gives a second opinion that involves no learning. A new metric is one new
file here, and one line below.

Imports: core to model.
Start reading: label_adherence.py.
"""

from t2v_helpers.metrics.clip_scores import *
from t2v_helpers.metrics.estimates import *
from t2v_helpers.metrics.frechet import *
from t2v_helpers.metrics.label_adherence import *
from t2v_helpers.metrics.pixels import *
from t2v_helpers.metrics.wholeness import *
