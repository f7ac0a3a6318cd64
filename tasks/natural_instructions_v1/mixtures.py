"""Declares Natural Instructions v1 to SeqIO: ni_v1_{split}_{encoding}."""

from tk_instruct.data.seqio_bridge import declarations

declarations.declare("ni_v1")
