#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let parsed = forebay::process::syslog::Syslog::parse(data);
    assert!(data.ends_with(parsed.message));
    let _ = forebay::process::syslog::parameters(parsed.structured);
});
