"""Scripted policies for rbee-scheduler; `rhai` is the engine they run on."""
