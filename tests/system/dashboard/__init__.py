"""The dashboard's server as it runs, asked over HTTP and websockets."""
