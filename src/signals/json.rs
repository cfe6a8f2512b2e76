//! (to be written)
use super::attributes::Keys;
use super::{Malformed, Records, Signal};
pub fn decode<'a>(signal: Signal, _body: &'a [u8], keys: &'a Keys) -> Result<Records<'a>, Malformed> {
    Ok(Records::new(signal, keys))
}
