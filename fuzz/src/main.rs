//! Fuzz targets: one file each under `targets`, one arm below. `FLOE_FUZZ_TARGET` says which one runs; `fuzz/run` runs all.
//!
//! One binary, because linking floe with link-time optimisation once takes longer than fuzzing every target.

#![no_main]

mod targets {
    pub mod address;
    pub mod chain;
    pub mod json_against_protobuf;
    pub mod protobuf;
    pub mod sanitize;
}

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

fn target() -> fn(&[u8]) {
    static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();
    *TARGET.get_or_init(|| match std::env::var("FLOE_FUZZ_TARGET").as_deref() {
        Ok("address") => targets::address::run,
        Ok("chain") => targets::chain::run,
        Ok("json_against_protobuf") => targets::json_against_protobuf::run,
        Ok("protobuf") => targets::protobuf::run,
        Ok("sanitize") => targets::sanitize::run,
        other => unreachable!("FLOE_FUZZ_TARGET names no target: {other:?}"),
    })
}

fuzz_target!(|input: &[u8]| target()(input));
