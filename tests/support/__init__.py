"""What tests stand on: fakes, consortia, folders and servers."""
