#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    assert!(forebay::process::journal::fields(data).count() <= data.len());
});
