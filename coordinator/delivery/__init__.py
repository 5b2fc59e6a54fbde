"""Links to the hospitals: deliveries and blobs, over HTTP or to Ray actors."""
