"""From a url to a stack of scenes: listings, names, dates, headers, and the files beside them."""
