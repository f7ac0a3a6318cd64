"""Declares the task jsonl to SeqIO."""

from tk_instruct.data.seqio_bridge import declarations

declarations.declare("jsonl")
