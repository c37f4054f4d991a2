"""Webhooks: what happens in the journal, told over HTTP to whoever asked for it (Standard Webhooks 1.0)."""
