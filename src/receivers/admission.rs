//! (to be written)
#[derive(Debug)]
pub struct MemoryPermit {}
