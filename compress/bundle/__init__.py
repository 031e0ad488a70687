"""What a hospital gets: the folder that `ship` writes, its documents, manifest and signature, and its verification."""
