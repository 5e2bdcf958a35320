"""Objectives as pure tensor functions, one file a family, in the papers' letters."""
