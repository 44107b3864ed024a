"""A local web page over an index, `mmstadapter serve` (extra ``app``)."""
