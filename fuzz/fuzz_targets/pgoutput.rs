//! See `attestry_fuzz::pgoutput`.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attestry_fuzz::pgoutput::run(bytes));

/// Without the fuzzer: runs the target over the files that are named, such as one that the fuzzer found.
#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    attestry_fuzz::replay(attestry_fuzz::pgoutput::run)
}
