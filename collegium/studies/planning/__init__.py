"""Plans of a study: settings advised for a consortium, and a study's own beside them."""
