#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| forebay::queue::fuzzing::segment(data));
