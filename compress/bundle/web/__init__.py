"""`segment.html`: a page that segments in a browser. Its sources are in src/, what is built from them in built/."""
