//! What all of this does together.
