"""Do I get what the blog got?

A ledger has a row for each of the blog's videos and claims: a verdict, and what was measured.

    rows = [blog.video_row("as published", made) for made in blog.as_published(pipe)]
    blog.write(rows, "outputs/ledger")

The blog is Jia 2024, "Transforming Words into Motion". Below is what notebook 11 works with.

Imports: everything but cli.py.
Start reading: published.py, then videos.py and ledger.py.
"""

from t2v_helpers.course.blog.block import *
from t2v_helpers.course.blog.ledger import *
from t2v_helpers.course.blog.originals import *
from t2v_helpers.course.blog.published import *
from t2v_helpers.course.blog.verdicts import *
from t2v_helpers.course.blog.videos import *
