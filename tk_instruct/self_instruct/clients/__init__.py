"""The clients that need no server: a script that makes text up, and a checkpoint of ours."""

SCRIPTED = "scripted"
"""The model of ScriptedClient, whose text means nothing."""
