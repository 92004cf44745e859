//! One HTTP request and its answer over one tunnel stream, both ends side by side; upgrades.
