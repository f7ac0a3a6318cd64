"""Pages that open from disk without a network and can be read without JavaScript, in one style."""

import base64
import hashlib
import pathlib
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tk_instruct.terminal import visible

_STYLE = pathlib.Path(__file__).parent / "page.css"


def rendered(folder: pathlib.Path, script: str | None, **values: Any) -> str:
    """The page of a folder's page.html.jinja, with style and script in it.

    The template escapes all values but those that it calls safe. The browser runs this script, by
    its hash (`script_source`), and no other.

    script: the name of a file in the folder, or None.
    """
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible
    code = (folder / script).read_text(encoding="utf-8") if script else ""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return environment.get_template("page.html.jinja").render(
        style=_STYLE.read_text(encoding="utf-8"),
        script=code,
        script_source=f"'sha256-{digest}'" if script else "'none'",
        **values,
    )
