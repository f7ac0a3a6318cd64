"""Declares Self-Instruct's tasks to SeqIO: self_instruct, self_instruct_user_oriented."""

from tk_instruct.data.seqio_bridge import declarations

declarations.declare("self_instruct")
