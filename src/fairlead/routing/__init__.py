"""Who gets which answer: the routing table and where it rests."""
