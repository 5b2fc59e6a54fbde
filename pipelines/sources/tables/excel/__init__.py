"""Excel workbooks (.xlsx): looked through before they are unpacked, then read by calamine."""
