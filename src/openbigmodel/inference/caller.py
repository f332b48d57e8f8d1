"""Who asks for an answer, as every door tells the pipeline."""

import msgspec

from openbigmodel.auth.api_keys import Principal
from openbigmodel.errors import Language
from openbigmodel.inference.chat_request import Surface
from openbigmodel.inference.dialect import Dialect
from openbigmodel.inference.glm_dialect import GLM


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Who asks, where and how, and in which language errors are told.

    `judged_at`: how many changes to keys and accounts there had been when the credential was judged.
    """

    principal: Principal
    surface: Surface
    path: str
    language: Language
    judged_at: int = 0
    dialect: Dialect = GLM
