"""Histories kept elsewhere, read as streams of events in the order they happened."""
