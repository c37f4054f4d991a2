"""Where everything is kept: tables, migrations, the batch statements of each dialect, and what readers ask."""
