"""Declares P3 to SeqIO: p3_DATASET_TEMPLATE, t0_train, t0_eval and more."""

from tk_instruct.data.seqio_bridge import declarations

declarations.declare("p3")
