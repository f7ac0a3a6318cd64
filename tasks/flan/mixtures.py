"""Declares FLAN to SeqIO: flan_DATASET, flan_all, flan_holdout_CLUSTER, flan_2022 and more."""

from tk_instruct.data.seqio_bridge import declarations

declarations.declare("flan")
