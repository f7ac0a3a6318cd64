"""Declares Super-NaturalInstructions to SeqIO: superni_{en,xlingual}_{encoding} and more."""

from tk_instruct.data.seqio_bridge import declarations

declarations.declare("superni")
