"""Users ranked by a metric: standings projected from the journal, and what readers ask of them."""
