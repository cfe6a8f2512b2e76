//! (to be written)
pub struct Chain {}
