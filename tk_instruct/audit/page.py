"""An audit as one page, which opens from disk without a network and is read without JavaScript."""

import base64
import hashlib
import pathlib

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tk_instruct.audit import by_origin, text
from tk_instruct.audit.findings import Audit
from tk_instruct.files import PathLike, write_atomically
from tk_instruct.terminal import visible

_HERE = pathlib.Path(__file__).parent
_STYLE = _HERE.parent / "report" / "page.css"  # of all pages
# Browsers take seconds for a page with more.
_MOST_FINDINGS = 1000


def write(path: PathLike, audit: Audit) -> None:
    write_atomically(path, html(audit).encode("utf-8", "replace"))


def html(audit: Audit) -> str:
    """The page. The template escapes all but style and script."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible
    environment.globals["about"] = text.about
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    origins = by_origin.origins_of(audit)
    findings = text.worst(audit.texts)[:_MOST_FINDINGS]
    return environment.get_template("page.html.jinja").render(
        audit=audit,
        counts=text.counts(audit) if audit.tasks else [],
        about_texts=text.about_texts(audit),
        origins=by_origin.rows(origins) if audit.origins else [],
        about_origins=by_origin.notes(origins),
        findings=findings,
        tasks=sorted({finding.eval_task for finding in findings}),
        style=_STYLE.read_text(encoding="utf-8"),
        script=script,
        script_source=f"'sha256-{digest}'",
    )
