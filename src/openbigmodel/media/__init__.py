"""Images, videos, sounds and files in messages: judged, fetched and turned into what any engine can read.

parts        what a caller wrote: where each part is, in which form, and whether the model takes it
preparation  all parts of a request, turned into bytes and text
fetcher      the platform's side of the fetch worker
fetch_worker the process that touches what strangers sent: download, images, recordings, documents
"""

from openbigmodel.media.fetcher import Fetcher
from openbigmodel.media.parts import check_parts, needs_preparing
from openbigmodel.media.preparation import Media, Preparation

__all__ = ["Fetcher", "Media", "Preparation", "check_parts", "needs_preparing"]
