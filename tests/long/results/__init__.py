"""FLamby's table, made again: its two studies of tables, its strategies, and more of them."""
