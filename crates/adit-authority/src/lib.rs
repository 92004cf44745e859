//! Who vouches for a caller and what it may do: keys and claims checked, grants applied, a permit given.
