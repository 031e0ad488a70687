"""What no person writes of the site's pages: tables from the code, and the way out of docs/ that links take."""
