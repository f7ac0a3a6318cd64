"""An audit as one page, which opens from disk without a network and is read without JavaScript."""

import pathlib

from tk_instruct import web_page
from tk_instruct.audit import by_origin, text
from tk_instruct.audit.findings import Audit
from tk_instruct.files import PathLike, write_atomically

_HERE = pathlib.Path(__file__).parent
# Browsers take seconds for a page with more.
_MOST_FINDINGS = 1000


def write(path: PathLike, audit: Audit) -> None:
    write_atomically(path, html(audit).encode("utf-8", "replace"))


def html(audit: Audit) -> str:
    """The page. The template escapes all but style and script."""
    origins = by_origin.origins_of(audit)
    findings = text.worst(audit.texts)[:_MOST_FINDINGS]
    return web_page.rendered(
        _HERE,
        "page.js",
        audit=audit,
        about=text.about,
        counts=text.counts(audit) if audit.tasks else [],
        about_texts=text.about_texts(audit),
        origins=by_origin.rows(origins) if audit.origins else [],
        about_origins=by_origin.notes(origins),
        findings=findings,
        tasks=sorted({finding.eval_task for finding in findings}),
    )
