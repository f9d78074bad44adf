"""What components may be called."""

from __future__ import annotations

import re


def is_component_name(name: object) -> bool:
    """Whether it is lower-case letters, digits and hyphens between them, starting with a letter.

    >>> is_component_name("my-metric"), is_component_name("My metric")
    (True, False)
    """
    return isinstance(name, str) and _NAME.match(name) is not None


_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
